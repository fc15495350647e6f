fn main() {
    logweir::info!(target: "x", target: "y", "user");
}
