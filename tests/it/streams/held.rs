//! An application that holds the lock of a standard stream neither stops a logger nor is stopped by one.

use std::io::Write;
use std::time::Instant;

use super::*;

/// Holds both locks from before the logger starts until after it ends.
pub(super) fn run(stream: &str) {
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    let console = if stream == "stderr" { ConsoleSink::stderr() } else { ConsoleSink::stdout() };
    let logger = lossless(console.format(Plain)).start().unwrap();
    emit(&logger, stream);
    end(&logger);
    // Both locks still work, and both streams end in a text without a newline.
    write!(stdout, "the rest of stdout").unwrap();
    write!(stderr, "the rest of stderr").unwrap();
}

/// Prints a text without a newline when the logger has ended.
pub(super) fn run_and_print_the_rest() {
    let logger = lossless(ConsoleSink::stdout().format(Plain)).start().unwrap();
    emit(&logger, "out");
    end(&logger);
    print!("the rest of stdout");
}

/// Threads that hold one stream's lock and write to the other, in both orders by turns.
pub(super) fn run_beside_a_holder() {
    let logger = lossless(ConsoleSink::stdout().format(Plain)).start().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| emit(&logger, "out"));
        scope.spawn(|| {
            for number in 0..lines().min(50) {
                let (mut stdout, mut stderr) = (None, None);
                if number % 2 == 0 {
                    stdout = Some(io::stdout().lock());
                    eprintln!("logweir: {number}");
                } else {
                    stderr = Some(io::stderr().lock());
                    println!("logweir: {number}");
                }
                drop((stdout.take(), stderr.take()));
            }
        });
    });
    end(&logger);
}

#[test]
fn a_lock_of_a_standard_stream_that_is_never_released_costs_no_line_and_no_shutdown() {
    for stream in ["stdout", "stderr"] {
        let began = Instant::now();
        let output = child(&format!("held {stream}")).output().unwrap();
        assert!(output.status.success(), "{stream}: {output:?}");
        assert!(began.elapsed() < LONG / 2, "{stream}: {:?}", began.elapsed());
        let of = |stream: &str, bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.strip_suffix(&format!("the rest of {stream}")).expect("the rest is there").as_bytes().to_vec()
        };
        let (stdout, stderr) = (of("stdout", &output.stdout), of("stderr", &output.stderr));
        let logged = if stream == "stdout" { stdout } else { stderr };
        assert_whole(stream, &logged, &[stream]);
    }
}

/// At the end of a process `std` prints that text only if no thread has the lock.
#[test]
fn a_text_without_a_newline_that_is_printed_after_the_shutdown_is_not_lost() {
    for run in 0..5 {
        let output = child("rest").env("LOGWEIR_STREAM_LINES", "3").output().unwrap();
        assert!(output.status.success() && output.stdout.ends_with(b"the rest of stdout"), "run {run}: {output:?}");
    }
}

#[test]
fn an_application_that_holds_one_lock_and_takes_the_other_is_not_deadlocked() {
    let (reader, writer) = io::pipe().unwrap();
    let streams = (writer.try_clone().unwrap().into(), writer.into());
    check("holder", "holder", streams, Reader::Fast, reader, &["out"]);
}
