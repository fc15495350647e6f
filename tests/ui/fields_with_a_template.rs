fn main() {
    let _ = logweir::fields!["{a}", a = 2];
}
