#[path = "it/lifecycle.rs"]
mod lifecycle;
