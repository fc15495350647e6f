fn main() {
    let (a, b) = (1, 2);
    logweir::info!("sum", a b);
}
