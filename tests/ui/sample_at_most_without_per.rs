fn main() {
    logweir::info!(at_most: 5, "user");
}
