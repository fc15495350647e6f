//! Sinks, driven by hand: what they write, what they say when they cannot, what they never wait for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::error::Error;
use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use logweir::Blocking;
use logweir::event::Record;
use logweir::sink::ErrorKind;
use logweir::sink::{BlockingSink, ConsoleSink, Durability, FileSink, MemorySink, NullSink, OpenError, WaitError};
use logweir::{Batch, Event, Format, Level, Sink, SinkError, Value};

/// The message and a newline; panics on "poison".
struct Plain;

impl Format for Plain {
    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let message = record.message().to_string();
        assert_ne!(message, "poison");
        out.extend_from_slice(message.as_bytes());
        out.push(b'\n');
    }
}

fn batch<const N: usize>(messages: [&str; N]) -> Batch {
    messages.into_iter().map(|message| Event::dynamic(Level::Info, "t", message)).collect()
}

/// An empty folder of the test's own.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sinks").join(test);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
        _ => fs::create_dir_all(&folder).unwrap(),
    }
    folder
}

fn io_kind(error: &SinkError) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}

// Files

#[tokio::test]
async fn a_file_is_appended_to_and_its_folders_are_created() {
    let path = folder("append").join("a/b/app.log");
    for round in ["one", "two"] {
        let mut sink = FileSink::new(&path).format(Plain);
        sink.open().unwrap();
        sink.write(&batch([round, "x"])).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(sink.written_bytes(), 6);
        assert!(sink.outlives_timeout());
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\nx\ntwo\nx\n");
}

#[tokio::test]
async fn every_durability_writes_flushes_and_closes() {
    for durability in [Durability::Buffered, Durability::Flushed, Durability::Synced] {
        let path = folder(&format!("{durability:?}")).join("new/app.log");
        let mut sink = FileSink::new(&path).format(Plain).durability(durability);
        sink.open().unwrap();
        sink.write(&batch(["one"])).await.unwrap();
        // Handed over when `write` returns, under each of them.
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        sink.flush().await.unwrap();
        sink.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_line_torn_by_a_crash_is_ended_before_the_first_event() {
    let path = folder("torn").join("app.log");
    fs::write(&path, "whole\nto").unwrap();
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nto", "nothing is written before the first event");
    sink.write(&batch(["one"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nto\none\n");
    assert_eq!(sink.written_bytes(), 5);
}

#[tokio::test]
async fn after_a_rename_reopen_goes_on_in_a_new_file_at_once_and_the_next_batch_by_itself() {
    let folder = folder("reopen");
    let path = folder.join("app.log");
    let mut sink = FileSink::new(&path).format(Plain).durability(Durability::Flushed);
    sink.open().unwrap();
    sink.write(&batch(["one"])).await.unwrap();
    fs::rename(&path, folder.join("app.log.1")).unwrap();
    sink.reopen().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    sink.write(&batch(["two"])).await.unwrap();
    fs::rename(&path, folder.join("app.log.2")).unwrap();
    sink.write(&batch(["three"])).await.unwrap();
    // As logrotate does with `create`: something stands at the path, and it is another file.
    fs::rename(&path, folder.join("app.log.3")).unwrap();
    fs::write(&path, "torn").unwrap();
    sink.write(&batch(["four"])).await.unwrap();
    for (name, text) in
        [("app.log.1", "one\n"), ("app.log.2", "two\n"), ("app.log.3", "three\n"), ("app.log", "torn\nfour\n")]
    {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), text, "{name}");
    }
    assert_eq!(sink.written_bytes(), 4 + 4 + 6 + 6);
}

#[tokio::test]
async fn a_file_that_was_moved_goes_on_where_it_is_if_there_can_be_no_other() {
    let folder = folder("reopen_fails");
    let (path, moved) = (folder.join("app.log"), folder.join("app.log.1"));
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    let error = sink.reopen().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary);
    // Said once, however often it fails.
    sink.write(&batch(["one"])).await.unwrap();
    let trouble = sink.trouble().unwrap();
    assert!(trouble.source().unwrap().to_string().contains("from which the file was moved away"), "{trouble:?}");
    sink.write(&batch(["two"])).await.unwrap();
    assert!(sink.trouble().is_none());
    assert_eq!(fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
    fs::remove_dir(&path).unwrap();
    sink.write(&batch(["three"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
}

#[tokio::test]
async fn nothing_is_written_to_a_file_that_was_deleted() {
    let folder = folder("deleted");
    let path = folder.join("logs/app.log");
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    sink.write(&batch(["one"])).await.unwrap();
    fs::remove_dir_all(folder.join("logs")).unwrap();
    // The folder cannot be made again: something else is called so.
    fs::write(folder.join("logs"), "").unwrap();
    for _ in 0..2 {
        let error = sink.write(&batch(["two"])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered_count()), (ErrorKind::Temporary, 0));
        assert_eq!(error.source().unwrap().downcast_ref::<OpenError>().unwrap().path, path);
    }
    fs::remove_file(folder.join("logs")).unwrap();
    sink.write(&batch(["two"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
}

#[test]
fn a_file_that_cannot_be_opened_names_path_and_cause() {
    let folder = folder("cannot_open");
    let error = FileSink::new(&folder).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent);
    let source = error.source().and_then(|source| source.downcast_ref::<OpenError>()).unwrap();
    assert_eq!(source.path, folder);
    assert_eq!(source.to_string(), format!("cannot open log file `{}`", folder.display()));
    assert!(source.source().unwrap().is::<io::Error>());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_temporary() {
    let mut sink = FileSink::new("/dev/full").format(Plain).durability(Durability::Synced);
    sink.open().unwrap();
    for _ in 0..2 {
        let error = sink.write(&batch(["one"])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered_count()), (ErrorKind::Temporary, 0));
        assert_eq!(io_kind(&error), Some(io::ErrorKind::StorageFull));
    }
    sink.flush().await.unwrap();
    assert_eq!(sink.written_bytes(), 0);
}

/// A pipe, as a path that opens it again.
#[cfg(target_os = "linux")]
fn fifo() -> (io::PipeReader, io::PipeWriter, PathBuf) {
    use std::os::fd::AsRawFd;

    let (reader, writer) = io::pipe().unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
    (reader, writer, path)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_fifo_whose_reader_left_is_permanent() {
    let (mut reader, writer, path) = fifo();
    let mut sink = FileSink::new(path).format(Plain).durability(Durability::Flushed);
    sink.open().unwrap();
    drop(writer);
    sink.write(&batch(["one"])).await.unwrap();
    sink.flush().await.unwrap();
    let mut line = [0; 4];
    io::Read::read_exact(&mut reader, &mut line).unwrap();
    assert_eq!(line, *b"one\n");

    drop(reader);
    for _ in 0..2 {
        let error = sink.write(&batch(["two"])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered_count()), (ErrorKind::Permanent, 0));
        assert_eq!(io_kind(&error), Some(io::ErrorKind::BrokenPipe));
    }
    sink.close().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_write_into_a_full_pipe_goes_on_where_it_stopped_when_its_future_was_dropped() {
    let (reader, writer, path) = fifo();
    let mut sink = FileSink::new(path).format(Plain);
    sink.open().unwrap();
    drop(writer);

    // More than a pipe holds: it cannot end before somebody reads.
    let long = "x".repeat(1 << 20);
    drop_unanswered(sink.write(&batch([&long])));
    let reading = thread::spawn(move || io::read_to_string(reader).unwrap());
    sink.write(&batch(["next"])).await.unwrap();
    drop(sink);
    assert_eq!(reading.join().unwrap(), format!("{long}\nnext\n"));
}

#[tokio::test]
async fn a_panic_in_a_format_is_an_error_and_the_thread_goes_on() {
    let path = folder("panic").join("app.log");
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    let error = sink.write(&batch(["one", "poison", "three"])).await.unwrap_err();
    assert_eq!((error.kind(), error.delivered_count()), (ErrorKind::Panic, 1));
    assert!(error.source().unwrap().to_string().contains("poison"), "{error:?}");
    sink.write(&batch(["three"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\nthree\n");
}

// Threads of their own

/// Says when a write began, and ends it when it is told to.
struct Gated {
    began: mpsc::Sender<()>,
    gate: mpsc::Receiver<()>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl BlockingSink for Gated {
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.began.send(()).map_err(SinkError::permanent)?;
        self.gate.recv().map_err(SinkError::permanent)?;
        self.seen.lock().unwrap().extend(batch.iter().map(|record| record.message().to_string()));
        Ok(())
    }
}

struct Gate {
    began: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
    seen: Arc<Mutex<Vec<String>>>,
}

fn gated() -> (Blocking<Gated>, Gate) {
    let ((began, has_begun), (open, gate), seen) = (mpsc::channel(), mpsc::channel(), Arc::default());
    let mut sink = Blocking::new(Gated { began, gate, seen: Arc::clone(&seen) });
    sink.open().unwrap();
    (sink, Gate { began: has_begun, open, seen })
}

/// Polls once, finds it pending, and drops it.
fn drop_unanswered(call: impl Future<Output = Result<(), SinkError>>) {
    let mut call = pin!(call);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test]
async fn a_write_whose_future_was_dropped_keeps_its_place_and_is_not_repeated() {
    let (mut sink, gate) = gated();
    drop_unanswered(sink.write(&batch(["one"])));
    gate.began.recv().unwrap();

    // The next call waits for the one before it, and starts nothing meanwhile; dropped here, it never was.
    drop_unanswered(sink.write(&batch(["never"])));
    assert_eq!(gate.began.try_recv(), Err(mpsc::TryRecvError::Empty));

    gate.open.send(()).unwrap();
    gate.open.send(()).unwrap();
    sink.write(&batch(["two"])).await.unwrap();
    assert_eq!(*gate.seen.lock().unwrap(), ["one", "two"]);
}

#[test]
fn a_sink_that_blocks_for_ever_holds_up_no_drop() {
    let (mut sink, gate) = gated();
    drop_unanswered(sink.write(&batch(["one"])));
    gate.began.recv().unwrap();
    drop(sink);

    // It got here. When the write returns after all, the thread ends and drops its sink.
    gate.open.send(()).unwrap();
    assert_eq!(gate.began.recv(), Err(mpsc::RecvError));
    assert_eq!(*gate.seen.lock().unwrap(), ["one"]);
}

/// Does as each event's message says.
struct Told(u64);

/// A panic that panics when it is caught.
struct Twice;

impl Drop for Twice {
    fn drop(&mut self) {
        panic!("again");
    }
}

impl BlockingSink for Told {
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        for (index, record) in batch.iter().enumerate() {
            match record.message().to_string().as_str() {
                "panic" => panic!("as told"),
                "twice" => std::panic::panic_any(Twice),
                "reject" => return Err(SinkError::rejected("as told").delivered(index)),
                name => assert_eq!(thread::current().name(), Some(name)),
            }
            self.0 += 1;
        }
        Ok(())
    }

    fn written_bytes(&self) -> u64 {
        self.0
    }
}

#[tokio::test]
async fn a_blocking_sink_answers_from_its_own_thread() {
    let mut sink = Blocking::new(Told(7)).name("mine\0");
    assert_eq!(sink.written_bytes(), 7);
    sink.open().unwrap();
    sink.write(&batch(["mine"])).await.unwrap();
    assert_eq!(sink.written_bytes(), 8);
    let error = sink.write(&batch(["mine", "reject"])).await.unwrap_err();
    assert_eq!((error.kind(), error.delivered_count()), (ErrorKind::Rejected, 1));
    assert_eq!(sink.written_bytes(), 9);
    let error = sink.write(&batch(["panic"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic);
    assert_eq!(error.source().unwrap().to_string(), "as told");
    sink.write(&batch(["mine"])).await.unwrap();
    sink.close().await.unwrap();
}

#[tokio::test]
async fn a_sink_whose_thread_is_gone_or_never_was_is_unusable() {
    let mut sink = Blocking::new(Told(0));
    assert_eq!(sink.write(&batch(["logweir-sink"])).await.unwrap_err().kind(), ErrorKind::Permanent);
    sink.open().unwrap();
    sink.write(&batch(["logweir-sink"])).await.unwrap();
    for told in ["twice", "logweir-sink", "logweir-sink"] {
        let error = sink.write(&batch([told])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permanent);
        assert_eq!(error.source().unwrap().to_string(), "the sink's thread is gone");
    }
}

// The console, in a child process with streams of its own

const CHILD: &str = "LOGWEIR_TEST_CONSOLE";

fn console(role: &str, stderr: impl Into<Stdio>) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "sinks::the_child_of_the_console_tests", "--nocapture"]).env(CHILD, role);
    child.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap().wait_with_output().unwrap()
}

#[tokio::test]
async fn the_child_of_the_console_tests() {
    let events = [Level::Info, Level::Warn, Level::Debug, Level::Error]
        .map(|level| Event::dynamic(level, "t", &format!("console {level}")))
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
                assert_eq!((error.kind(), error.delivered_count()), (ErrorKind::Permanent, 1));
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

// Memory and nothing

#[tokio::test]
async fn memory_keeps_the_newest_events_and_counts_all() {
    let memory = MemorySink::new().capacity(3);
    let mut sink = memory.clone();
    assert!(memory.is_empty());
    sink.write(&batch(["1", "2"])).await.unwrap();
    sink.write(&batch(["3", "4"])).await.unwrap();
    let messages = || memory.events().iter().map(|event| event.message()).collect::<Vec<_>>();
    assert_eq!(messages(), ["2", "3", "4"]);
    sink.write(&batch(["5", "6", "7", "8", "9"])).await.unwrap();
    assert_eq!(messages(), ["7", "8", "9"]);
    assert_eq!((memory.len(), memory.total(), memory.written_bytes()), (3, 9, 0));

    let memory = memory.capacity(1);
    assert_eq!(memory.events()[0].message(), "9");
    memory.clear();
    assert_eq!((memory.len(), sink.total()), (0, 9));
}

#[tokio::test]
async fn a_captured_event_tells_all_it_was_logged_with() {
    let mut memory = MemorySink::new();
    let event = Event::dynamic_at(Level::Warn, "shop", "paid", Some("shop::pay"), Some("pay.rs"), Some(7));
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1);
    memory.write(&[event.with("order", 12u64).at(time)].into_iter().collect()).await.unwrap();

    let captured = &memory.events()[0];
    assert_eq!((captured.level(), captured.target(), captured.message()), (Level::Warn, "shop", "paid".to_owned()));
    assert_eq!((captured.module(), captured.file(), captured.line()), (Some("shop::pay"), Some("pay.rs"), Some(7)));
    assert_eq!((captured.template(), captured.timestamp(), captured.is_truncated()), (None, time, false));
    assert_eq!(captured.field("order"), Some(Value::U64(12)));
    assert_eq!(captured.field("user"), None);
    assert_eq!(captured.fields().count(), 1);
    assert_eq!(captured.event().level(), Level::Warn);
}

#[tokio::test(start_paused = true)]
async fn wait_for_returns_when_enough_was_written() {
    let memory = MemorySink::new();
    let mut sink = memory.clone();
    let writing = async {
        for message in ["1", "2", "3"] {
            tokio::time::sleep(Duration::from_secs(60)).await;
            sink.write(&batch([message])).await.unwrap();
        }
    };
    let start = tokio::time::Instant::now();
    let (events, ()) = tokio::join!(
        async {
            let events = memory.wait_for(2, Duration::MAX).await.unwrap();
            assert_eq!(start.elapsed().as_secs(), 120);
            events
        },
        writing
    );
    assert_eq!(events.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn wait_for_says_how_many_came_in_time() {
    let memory = MemorySink::new();
    memory.clone().write(&batch(["1"])).await.unwrap();
    let start = tokio::time::Instant::now();
    let error: WaitError = memory.wait_for(2, Duration::from_secs(3600)).await.unwrap_err();
    assert_eq!((error.wanted, error.seen), (2, 1));
    assert_eq!(error.to_string(), "waited for 2 events, 1 were written in time");
    assert_eq!(start.elapsed().as_secs(), 3600);
    assert_eq!(memory.wait_for(1, Duration::ZERO).await.unwrap().len(), 1);
}

#[test]
fn wait_for_needs_no_runtime() {
    let memory = MemorySink::new();
    let mut sink = memory.clone();
    let writing = thread::spawn(move || block_on(sink.write(&batch(["1"]))).unwrap());
    assert_eq!(block_on(memory.wait_for(1, Duration::MAX)).unwrap().len(), 1);
    writing.join().unwrap();
    assert_eq!(block_on(memory.wait_for(2, Duration::from_millis(1))).unwrap_err().seen, 1);
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[tokio::test]
async fn the_null_sink_takes_everything() {
    let mut sink = NullSink;
    sink.open().unwrap();
    sink.write(&batch(["one"])).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(sink.written_bytes(), 0);
}
