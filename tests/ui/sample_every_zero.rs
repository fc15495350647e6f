fn main() {
    logweir::info!(every: 0, "user");
}
