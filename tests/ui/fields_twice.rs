fn main() {
    let _ = logweir::fields![a = 1, a = 2];
}
