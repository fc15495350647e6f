fn main() {
    logweir::info!("user {us{er}", user = "ada");
}
