fn main() {
    logweir::info!("user", "" = "ada");
}
