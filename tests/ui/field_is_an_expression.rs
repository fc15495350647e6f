fn main() {
    logweir::info!("sum", 1 + 1);
}
