fn main() {
    let _ = logweir::event!(logweir::Level::Info, logger: 1, "user");
}
