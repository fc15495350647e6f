//! cargo run --example quickstart
//!
//! A logger with a console and a JSON file, a few events, and a shutdown that says what became of each.

#![expect(clippy::print_stdout, reason = "the report is for the terminal")]

use std::time::Duration;

use logweir::format::Json;
use logweir::sink::{ConsoleSink, FileSink};
use logweir::{Logger, Pipeline, debug, info, warn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join("logweir-quickstart.json");
    let logger = Logger::builder()
        .name("quickstart")
        .enrich("service", "shop")
        .sink("console", ConsoleSink::stdout())
        .sink("file", Pipeline::new(FileSink::new(&path).format(Json::new())))
        .start()?;
    logger.set_global().map_err(|_| "there is a global logger already")?;

    // From here on, macros that name no logger use it.
    info!("service started", version = env!("CARGO_PKG_VERSION"));
    // Every event of this handle carries the field.
    let request = logger.with("request_id", 42);
    info!(logger: request, "user {user} logged in from {ip}", user = "ada", ip = "10.0.0.7", took_ms = 1.5);
    warn!(logger: request, "cache is {percent}% full", percent = 93);
    debug!("not shown: the default filter is `info`");

    let report = logger.shutdown(Duration::from_secs(5)).await;
    println!("\n{report}\nJSON lines: {}", path.display());
    Ok(())
}
