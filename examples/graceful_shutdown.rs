//! cargo run --example graceful_shutdown
//!
//! A service that is cancelled while its workers are busy: what they log on their way out is delivered, a hook says its
//! last word, and the report adds up. `-- --fail` leaves `main` by `?` instead, where the guard delivers what is pending.

#![expect(clippy::print_stdout, reason = "the report is for the terminal")]

use std::error::Error;
use std::time::Duration;

use logweir::sink::{ConsoleSink, MemorySink};
use logweir::{Logger, info, warn};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = CancellationToken::new();
    let memory = MemorySink::new();
    let logger = Logger::builder()
        .name("shop")
        .sink("console", ConsoleSink::stdout())
        .sink("memory", memory.clone())
        // The cancellation is when workers write their last lines, so the logger goes on accepting. It ends with
        // `shutdown` below, or by itself if nobody calls that within the grace.
        .cancel_on(token.clone())
        .grace_period(Duration::from_secs(10))
        .start()?;
    // For every way out of `main` that does not reach `shutdown`.
    let _guard = logger.shutdown_guard(Duration::from_secs(2));

    // Hooks run when the shutdown begins, while events are still accepted. A strong handle in one would keep the logger
    // running.
    let weak = logger.downgrade();
    logger.on_shutdown(move || {
        Box::pin(async move {
            if let Some(logger) = weak.upgrade() {
                info!(logger: logger, "hook: the till is closed");
            }
            Ok(())
        })
    });

    let mut workers = JoinSet::new();
    for number in 1..=3 {
        workers.spawn(work(logger.with("worker", number), token.clone()));
    }
    if std::env::args().nth(1).as_deref() == Some("--fail") {
        info!(logger: logger, "reading the price list");
        let price: f64 = "12,50".parse()?;
        info!(logger: logger, "the price is {price}", price);
    }

    // Ctrl-C, or a third of a second for those who only look.
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal?,
        () = sleep(Duration::from_millis(333)) => {}
    }
    warn!(logger: logger, "stopping");
    token.cancel();
    workers.join_all().await;

    let report = logger.shutdown(Duration::from_secs(2)).await;
    println!("\n{report}");
    report.check()?;
    let last = memory.events().last().map(|event| event.message()).unwrap_or_default();
    println!("{} events reached the memory sink, the last: {last}", memory.total());
    Ok(())
}

/// Packs parcels until the cancellation, and says what is left.
async fn work(logger: Logger, token: CancellationToken) {
    let mut parcels = 0;
    loop {
        tokio::select! {
            () = token.cancelled() => break,
            () = sleep(Duration::from_millis(90)) => {}
        }
        parcels += 1;
        info!(logger: logger, "parcel {parcels} is packed", parcels);
    }
    // Cleaning up takes its time, and is logged.
    sleep(Duration::from_millis(50)).await;
    info!(logger: logger, "went home after {parcels} parcels", parcels);
}
