fn main() {
    logweir::info!("{ratio:.33}", ratio = 0.5);
}
