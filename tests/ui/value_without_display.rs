struct User;

fn main() {
    logweir::info!("user {user}", user = %User);
}
