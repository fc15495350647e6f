fn main() {
    logweir::info!(per: std::time::Duration::MAX, "user");
}
