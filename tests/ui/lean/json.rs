fn main() {
    logweir::info!("user {user}", user = @1);
}
