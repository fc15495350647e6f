fn main() {
    logweir::info!(tarjet: "x", "user");
}
