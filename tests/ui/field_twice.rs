fn main() {
    logweir::info!("user {user}", user = "ada", r#user = "eve");
}
