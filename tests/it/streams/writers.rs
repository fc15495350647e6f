//! The children that write: loggers, `println!`, `eprintln!` and a process of their own on one stream.

use super::*;

/// Starts a thread for each writer: `out` and `err` are loggers on the streams, `out2` and `err2` second ones.
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
                logger => {
                    let console = if logger.starts_with("err") { ConsoleSink::stderr() } else { ConsoleSink::stdout() };
                    let log = lossless(console.format(Plain)).start().unwrap();
                    emit(&log, logger);
                    end(&log);
                }
            });
        }
    });
}
