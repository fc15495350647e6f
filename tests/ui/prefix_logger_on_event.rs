fn main() {
    let _ = logweir::new_event!(logweir::Level::Info, logger: 1, "user");
}
