fn main() {
    logweir::info!("user {}", user = "ada");
}
