fn main() {
    logweir::info!("user {user,0}", user = "ada");
}
