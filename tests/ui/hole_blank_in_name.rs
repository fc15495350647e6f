fn main() {
    logweir::info!("user {the user}", user = "ada");
}
