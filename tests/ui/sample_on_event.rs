fn main() {
    let _ = logweir::new_event!(logweir::Level::Info, every: 5, "user");
}
