//! The console sink, in a child process with streams of its own.

use std::io;
use std::process::{Command, Output, Stdio};

use logweir::sink::ConsoleSink;
use logweir::sink::SinkErrorKind;
use logweir::{Event, Level, Sink};

use super::{Plain, io_kind};

const CHILD: &str = "LOGWEIR_TEST_CONSOLE";

fn console(role: &str, stderr: impl Into<Stdio>) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "sinks::console::the_child_of_the_console_tests", "--nocapture"]).env(CHILD, role);
    child.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap().wait_with_output().unwrap()
}

#[tokio::test]
async fn the_child_of_the_console_tests() {
    let events = [Level::Info, Level::Warn, Level::Debug, Level::Error]
        .map(|level| Event::new(level, "t", &format!("console {level}")))
        .into_iter()
        .collect();
    match std::env::var(CHILD).ok().as_deref() {
        None => return,
        Some("split") => {
            let mut sink = ConsoleSink::stdout().stderr_from(Level::Warn).format(Plain);
            sink.open().unwrap();
            sink.write(&events).await.unwrap();
            sink.flush().await.unwrap();
            assert_eq!(sink.written_bytes(), 13 + 13 + 14 + 14);
        }
        Some("text") => {
            let mut sink = ConsoleSink::stderr();
            sink.open().unwrap();
            sink.write(&events).await.unwrap();
        }
        Some("closed") => {
            let mut sink = ConsoleSink::stdout().stderr_from(Level::Warn).format(Plain);
            sink.open().unwrap();
            for bytes in [13, 26] {
                let error = sink.write(&events).await.unwrap_err();
                assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Permanent, 1));
                assert_eq!(io_kind(&error), Some(io::ErrorKind::BrokenPipe));
                assert_eq!(sink.written_bytes(), bytes);
            }
            sink.close().await.unwrap();
        }
        Some(role) => panic!("no such role: {role}"),
    }
    std::process::exit(0);
}

#[test]
fn important_events_go_to_stderr_and_the_others_to_stdout() {
    let output = console("split", Stdio::piped());
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    // The test harness writes to standard output, too.
    assert!(stdout.contains("console info\nconsole debug\n"), "{stdout}");
    assert_eq!(stderr, "console warn\nconsole error\n");
}

#[test]
fn a_pipe_gets_no_colours_by_default() {
    let output = console("text", Stdio::piped());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr.lines().count(), 4);
    assert!(stderr.contains("console info") && !stderr.contains('\x1b'), "{stderr}");
}

#[test]
fn a_closed_pipe_is_permanent_and_never_a_panic() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = console("closed", writer);
    assert!(output.status.success(), "{:?}", output.status);
}
