fn main() {
    let _ = logweir::event!(logweir::Level::Info, every: 5, "user");
}
