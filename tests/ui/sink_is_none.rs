fn main() {
    let _ = logweir::Logger::builder().sink("file", std::io::sink());
}
