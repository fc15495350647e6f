fn main() {
    logweir::info!(logger: 1, "user");
}
