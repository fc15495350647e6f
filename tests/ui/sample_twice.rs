fn main() {
    logweir::info!(every: 2, at_most: 5, per: std::time::Duration::MAX, "user");
}
