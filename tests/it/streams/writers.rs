//! The children that write: loggers, `println!`, `eprintln!` and a process of their own on one stream.

use logweir::sink::FileSink;
use logweir::{Batch, Breaker, Retry, SinkError, async_trait};

use super::*;

/// Fails always, with an error whose report is a long line.
struct Failing;

#[async_trait]
impl Sink for Failing {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        Err(SinkError::permanent(io::Error::other("x".repeat(10_000))))
    }
}

/// Starts a thread for each writer: `out` and `err` are loggers on the streams, `out2` a second one.
pub(super) fn run(writers: &str) {
    let writers: Vec<_> = writers.split(' ').collect();
    thread::scope(|scope| {
        for writer in writers {
            scope.spawn(move || match writer {
                "print" => (0..lines()).for_each(|number| {
                    println!("line print {number} {} {} end", padding(number).len(), padding(number));
                }),
                "eprint" => (0..lines()).for_each(|number| {
                    eprintln!("line eprint {number} {} {} end", padding(number).len(), padding(number));
                }),
                // A process of its own, which inherits the streams and knows no lock.
                "shell" => {
                    let script = format!(
                        "n=0; while [ $n -lt {} ]; do echo line shell $n 5 xxxxx end; n=$((n+1)); done",
                        lines()
                    );
                    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
                }
                "fallback" => {
                    let failing = Pipeline::new(Failing).retry(Retry::never()).breaker(Breaker::never());
                    let pipeline = failing.fallback(ConsoleSink::stderr().format(Plain)).timeout(10 * LONG);
                    let log = lossless(pipeline).start().unwrap();
                    emit(&log, "fallback");
                    let report = log.shutdown_blocking(LONG).unwrap();
                    report.check().unwrap();
                    assert_eq!(report.sinks[0].fallbacks[0].delivered, lines(), "{report}");
                }
                "file" => end(&log_to(FileSink::new("/dev/stdout").format(Plain), writer)),
                "err" => end(&log_to(ConsoleSink::stderr().format(Plain), writer)),
                _ => end(&log_to(ConsoleSink::stdout().format(Plain), writer)),
            });
        }
    });
}

fn log_to(sink: impl Sink, writer: &str) -> Logger {
    let log = lossless(sink).start().unwrap();
    emit(&log, writer);
    log
}
