fn main() {
    let n = 3; logweir::info!(every: n, "user");
}
