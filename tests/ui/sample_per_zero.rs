fn main() {
    logweir::info!(at_most: 5, per: std::time::Duration::ZERO, "user");
}
