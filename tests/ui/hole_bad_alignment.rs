fn main() {
    logweir::info!("user {user,wide}", user = "ada");
}
