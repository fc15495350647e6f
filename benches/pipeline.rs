//! What do a pipeline's policies cost?
//!
//! cargo bench --bench pipeline
//!
//! Events per second to a null sink, losslessly: through a bare pipeline (no retry, no breaker, no timeout to speak of),
//! through the default one (retry, breaker, timeout), and through one with a fallback chain. Rounds in turn, medians of
//! the ratios of the same round. `benches/instructions.sh` counts the instructions of the first two.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::{Duration, Instant};

use logweir::sink::NullSink;
use logweir::{Breaker, Logger, Overflow, Pipeline, Retry, WhenFull, info};

const EVENTS: u64 = 3_000_000;
const ROUNDS: usize = 9;
const PATIENCE: Duration = Duration::from_secs(60);

type Make = fn() -> Pipeline;

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let kinds: [(&str, Make); 3] = [
        ("bare", || {
            Pipeline::new(NullSink).retry(Retry::never()).breaker(Breaker::never()).timeout(Duration::from_secs(3600))
        }),
        ("retry, breaker, timeout", || Pipeline::new(NullSink)),
        ("with a fallback chain", || Pipeline::new(NullSink).fallback(NullSink)),
    ];
    let mut seconds = kinds.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, pipeline), seconds) in kinds.iter().zip(&mut seconds) {
            seconds.push(sustained(pipeline()));
        }
    }
    for ((name, _), of_kind) in kinds.iter().zip(&seconds) {
        let rate = EVENTS as f64 / 1e6 / median(of_kind.clone());
        // Of the same round: what disturbs one disturbs the other.
        let ratio = median(seconds[0].iter().zip(of_kind).map(|(bare, of_kind)| bare / of_kind).collect());
        println!("{name:<26} {rate:.2} M events/s, {:+.1} % of bare", (ratio - 1.0) * 100.0);
    }
}

/// Seconds from the first event to the end of the shutdown.
fn sustained(pipeline: Pipeline) -> f64 {
    let logger = Logger::builder()
        .overflow(Overflow::Block(PATIENCE))
        .sink("null", pipeline.when_full(WhenFull::Block))
        .start()
        .expect("starts");
    let started = Instant::now();
    (0..EVENTS).for_each(|number| {
        info!(logger: logger, "served", user_id = number, path = "/api/v1/orders", status = 200_u64, elapsed_ms = 12.5);
    });
    let report = logger.shutdown_blocking(PATIENCE).expect("outside a runtime");
    let elapsed = started.elapsed();
    report.check().expect("the books balance");
    assert_eq!(report.sinks[0].delivered, EVENTS, "{report}");
    elapsed.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
