fn main() {
    logweir::info!("user {:x}", user = 1);
}
