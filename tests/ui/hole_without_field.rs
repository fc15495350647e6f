fn main() {
    logweir::info!("user {user} paid {amount}", user = "ada");
}
