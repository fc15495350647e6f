fn main() {
    logweir::info!();
    logweir::info!(target: "x");
    logweir::info!(user = "ada");
    logweir::info!(%user);
    logweir::log!(logweir::Level::Info);
}
