//! Whole processes: what keeps one alive, what it leaves behind when it ends, well or badly.
//!
//! A child is this test binary again, told its role by a variable, with streams of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a child tells its parent")]

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use logweir::event::Record;
use logweir::sink::SinkErrorKind;
use logweir::sink::{ConsoleSink, FileSink};
use logweir::{
    Batch, Builder, DropReason, Event, Format, Level, LevelFilter, Logger, Pipeline, Sink, SinkError, async_trait, info,
};
use tokio::runtime::{self, Handle, Runtime};

use crate::support::count;

pub(crate) const ROLE: &str = "LOGWEIR_TEST_CHILD";
pub(crate) const FILE: &str = "LOGWEIR_TEST_CHILD_FILE";
/// No child that keeps its promise lives as long.
pub(crate) const LONG: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_millis(300);
pub(crate) const LINES: usize = 4000;
const BATCH: usize = 16;

/// The message and a newline.
pub(crate) struct Plain;

impl Format for Plain {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        writeln!(out, "{}", record.message()).unwrap();
    }
}

fn child(role: &str) -> Command {
    child_of("children::the_child", role)
}

/// This binary again, for one test, which finds its role in [`ROLE`].
pub(crate) fn child_of(test: &str, role: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(ROLE, role).stdin(Stdio::null());
    child.stdout(Stdio::piped()).stderr(Stdio::piped());
    child
}

/// Ends the child if the test ends first.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Running(command.spawn().unwrap())
    }

    /// Its standard error and how it ended, if that is in time. Its standard output is not read.
    pub(crate) fn ends(&mut self) -> (ExitStatus, String) {
        let mut stderr = self.0.stderr.take().unwrap();
        let (ended, end) = mpsc::channel();
        // Standard error is closed by the end of the process, or of the thread that holds it up.
        thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            ended.send(text).unwrap_or_default();
        });
        let text = end.recv_timeout(LONG).expect("the child ends");
        (self.0.wait().unwrap(), text)
    }
}

/// An empty folder of the test's own.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("children").join(test);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
        _ => fs::create_dir_all(&folder).unwrap(),
    }
    folder
}

// The child's side

#[test]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let code = match role.split_once(' ').unwrap_or((&role, "")) {
        ("full", home) => full(home),
        ("guarded", _) => guarded(),
        ("said", _) => said(),
        ("closed", _) => closed(),
        ("fails", _) => fails().map_or_else(|error| error.to_string().len() as i32, |()| 0),
        ("unwinds", _) => unwinds(),
        ("killed", _) => killed(),
        ("stalled", handler) => stalled(handler),
        (role, _) => panic!("no such role: {role}"),
    };
    // What `main` does when it returns. The test harness would write to standard output.
    std::process::exit(code);
}

pub(crate) fn quiet() -> Builder<'static> {
    Logger::builder().flush_interval(Duration::from_secs(3600)).flush_at(LevelFilter::Off).lanes(1).batch_size(BATCH)
}

fn to_stdout() -> Builder<'static> {
    let console = ConsoleSink::stdout().format(Plain);
    quiet().sink("console", Pipeline::new(console).timeout(10 * LONG))
}

pub(crate) fn emit(logger: &Logger, count: usize) {
    (0..count).for_each(|number| info!(logger: logger, "line {number} {padding}", number, padding = "x".repeat(60)));
}

/// Until nothing moves any more: the pipe is full. On a machine busy with something else it may only look so.
async fn until_stuck(logger: &Logger) {
    let mut before = None;
    loop {
        let delivered = logger.stats().sinks[0].delivered;
        if before == Some(delivered) {
            return;
        }
        before = Some(delivered);
        assert!(!logger.flush(DEADLINE).await.complete);
    }
}

/// More than a pipe holds, and nobody reads.
fn full(home: &str) -> i32 {
    let service = async |start: fn(Builder<'static>) -> Logger| {
        let logger = start(to_stdout());
        emit(&logger, LINES);
        until_stuck(&logger).await;
        let report = logger.shutdown(DEADLINE).await;
        report.check().unwrap();
        assert!(report.timed_out);
        let sink = &report.sinks[0];
        let deadline = sink.dropped.get(DropReason::Deadline);
        assert_eq!(sink.dropped.total(), deadline);
        eprintln!("report {} {} {} {deadline}", report.accepted, sink.delivered, sink.unconfirmed);
    };
    let own_thread = |builder: Builder<'static>| builder.start().unwrap();
    let here = |builder: Builder<'static>| builder.start_on(&Handle::current()).unwrap();
    match home {
        "own thread" => futures::executor::block_on(service(own_thread)),
        "beside a runtime" => Runtime::new().unwrap().block_on(service(own_thread)),
        "many threads" => Runtime::new().unwrap().block_on(service(here)),
        "one thread" => runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(service(here)),
        home => panic!("no such home: {home}"),
    }
    0
}

/// Ends when the parent has closed standard input. Standard error is waited for only a moment by what writes to it, which
/// on a machine busy with something else may be too short.
fn until_heard() {
    assert_eq!(io::stdin().read(&mut [0]).unwrap(), 0);
}

/// As [`guarded`], but it stays until it was heard.
fn said() -> i32 {
    let code = guarded();
    until_heard();
    code
}

fn guarded() -> i32 {
    let logger = to_stdout().start().unwrap();
    let _guard = logger.shutdown_guard(DEADLINE);
    emit(&logger, LINES);
    futures::executor::block_on(until_stuck(&logger));
    0
}

fn closed() -> i32 {
    // Sent when the parent has closed the other end of standard output. A process that another test is about to start may
    // have it for a moment more.
    io::stdin().read_exact(&mut [0]).unwrap();
    while io::stdout().write_all(b"\n").is_ok() {}
    let logger = to_stdout().start().unwrap();
    for _ in 0..3 {
        emit(&logger, 2 * BATCH);
        assert!(logger.flush_blocking(LONG).unwrap().complete);
    }
    let report = logger.shutdown_blocking(LONG).unwrap();
    report.check().unwrap();
    let sink = &report.sinks[0];
    let all = 6 * BATCH as u64;
    assert_eq!((sink.delivered, sink.dropped.total(), report.timed_out), (0, all, false));
    // The breaker opened: only probes, a second apart, are written after the first batch.
    let (failed, kept) = (sink.dropped.get(DropReason::SinkFailed), sink.dropped.get(DropReason::BreakerOpen));
    assert_eq!((sink.errors, sink.errors_of(SinkErrorKind::Permanent) * BATCH as u64), (failed / BATCH as u64, failed));
    assert!(failed + kept == all && failed < all, "{sink:?}");
    until_heard();
    0
}

pub(crate) fn to_file() -> Builder<'static> {
    let path = std::env::var_os(FILE).expect("the test names the file");
    quiet().sink("file", Pipeline::new(FileSink::new(path).format(Plain)).timeout(LONG))
}

fn fails() -> Result<(), Box<dyn Error>> {
    let logger = to_file().start()?;
    let _guard = logger.shutdown_guard(LONG);
    emit(&logger, LINES);
    fs::read(Path::new(env!("CARGO_TARGET_TMPDIR")).join("not there"))?;
    unreachable!("the file is not there");
}

fn unwinds() -> i32 {
    let runtime = Runtime::new().unwrap();
    let main = runtime.spawn(async {
        let logger = to_file().start().unwrap();
        let _guard = logger.shutdown_guard(LONG);
        emit(&logger, LINES);
        panic!("a bug in the service");
    });
    i32::from(runtime.block_on(main).is_err())
}

fn killed() -> i32 {
    let logger = to_file().start().unwrap();
    emit(&logger, LINES);
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    // These may be lost.
    emit(&logger, LINES);
    eprintln!("flushed");
    loop {
        thread::park();
    }
}

fn stalled(handler: &str) -> i32 {
    struct BlocksInPoll;
    #[async_trait]
    impl Sink for BlocksInPoll {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            loop {
                thread::park();
            }
        }
    }
    let builder = quiet().sink("blocks", BlocksInPoll);
    // A handler is called on the thread that is blocked.
    let builder =
        if handler.is_empty() { builder } else { builder.on_error(|trouble| eprintln!("handled: {trouble}")) };
    let logger = builder.start().unwrap();
    logger.emit(Event::new(Level::Info, "t", "x"));
    // It does not come back.
    assert!(!logger.flush_blocking(LONG).unwrap().complete);
    0
}

// The parent's

#[test]
fn a_full_pipe_that_nobody_reads_does_not_keep_a_process_alive_and_its_report_is_exact() {
    // They wait most of their time, at the same time.
    let start = |home| (home, Instant::now(), Running::start(&mut child(&format!("full {home}"))));
    for (home, began, mut running) in ["own thread", "beside a runtime", "many threads", "one thread"].map(start) {
        let (status, stderr) = running.ends();
        assert!(status.success(), "{home}: {status}: {stderr}");
        assert!(began.elapsed() < LONG / 2, "{home}: {:?}", began.elapsed());
        let report = stderr.lines().find_map(|line| line.strip_prefix("report ")).unwrap_or_else(|| panic!("{stderr}"));
        let numbers: Vec<usize> = report.split(' ').map(|number| number.parse().unwrap()).collect();
        let [accepted, delivered, unconfirmed, deadline] = numbers[..] else { panic!("{report}") };
        assert_eq!((accepted, unconfirmed % BATCH, delivered % BATCH), (LINES, 0, 0), "{home}: {report}");
        assert_eq!(delivered + unconfirmed + deadline, LINES, "{home}: {report}");
        // Only now is the pipe read: the lines delivered, and what went out of those nobody can be sure of.
        let mut stdout = String::new();
        running.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let whole = stdout.split_inclusive('\n').filter(|line| line.starts_with("line ") && line.ends_with("x\n"));
        let lines: Vec<_> = whole.map(|line| line.split(' ').nth(1).unwrap().parse::<usize>().unwrap()).collect();
        assert!(lines.iter().copied().eq(0..lines.len()), "{home}: in order");
        assert!((delivered..=delivered + unconfirmed).contains(&lines.len()), "{home}: {} of {report}", lines.len());
    }
}

#[test]
fn a_guard_does_not_keep_a_process_alive_either() {
    let began = Instant::now();
    let (status, stderr) = Running::start(&mut child("guarded")).ends();
    assert!(status.success(), "{status}: {stderr}");
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
}

#[test]
fn a_guard_whose_time_is_over_says_on_standard_error_what_was_lost() {
    let mut running = Running::start(child("said").stdin(Stdio::piped()));
    let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let mut line = || lines.next().expect("it is said").unwrap();
    // One line, with the name of the logger once.
    let report = line();
    assert!(report.starts_with("logweir: the deadline passed after "), "{report}");
    assert!(report.contains(&format!("; emitted {LINES} = accepted {LINES}")), "{report}");
    assert!(report.contains("; console: routed") && report.contains("(deadline "), "{report}");
    drop(running.0.stdin.take());
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn a_closed_pipe_is_said_once_and_is_no_panic() {
    let mut running = Running::start(child("closed").stdin(Stdio::piped()));
    // The test harness does not start without a standard output: it is closed after what it has to say.
    let mut stdout = BufReader::new(running.0.stdout.take().unwrap()).lines();
    assert!(stdout.any(|line| line.unwrap().starts_with("running 1 test")));
    drop(stdout);
    let mut stdin = running.0.stdin.take().unwrap();
    stdin.write_all(b".").unwrap();
    let mut stderr = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let line = stderr.next().expect("it is said").unwrap();
    drop(stdin);
    let rest: Vec<_> = stderr.map(Result::unwrap).collect();
    assert!(line.contains("sink `console`: the sink is unusable"), "{line}{rest:#?}");
    assert!(rest.is_empty(), "once, and no panic: {rest:?}");
    assert!(running.0.wait().unwrap().success());
}

/// The numbers of the whole lines of a file, which are all it has.
pub(crate) fn numbers(path: &Path) -> Vec<usize> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_main_that_fails_leaves_its_lines_in_the_file_if_it_has_a_guard() {
    for role in ["fails", "unwinds"] {
        let path = folder(role).join("app.log");
        let (status, stderr) = Running::start(child(role).env(FILE, &path)).ends();
        assert!(!status.success() && status.code().is_some(), "{role}: {status}: {stderr}");
        assert!(numbers(&path).into_iter().eq(0..LINES), "{role}");
    }
}

#[cfg(unix)]
#[test]
fn a_process_killed_after_a_flush_has_the_lines_it_flushed() {
    use std::os::unix::process::ExitStatusExt;
    for kill in 0..count("LOGWEIR_TEST_KILLS", 3) {
        let path = folder("killed").join("app.log");
        let mut running = Running::start(child("killed").env(FILE, &path));
        let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "flushed");
        // The first at once, the others somewhere in the lines emitted later.
        (0..kill.wrapping_mul(7919) % 20_000).for_each(|_| thread::yield_now());
        running.0.kill().unwrap();
        assert_eq!(running.0.wait().unwrap().signal(), Some(9));
        let text = fs::read_to_string(&path).unwrap();
        // The last line may be torn, and belongs to those emitted later.
        let whole: Vec<_> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        assert!(whole.len() >= LINES, "kill {kill}: {}", whole.len());
        for (number, line) in whole.iter().enumerate() {
            assert!(line.starts_with(&format!("line {} ", number % LINES)), "kill {kill}: {line}");
        }
    }
}

#[test]
fn a_stalled_logger_is_said_on_standard_error_also_if_the_handler_cannot_hear_of_it() {
    // They wait most of their time, at the same time.
    for (role, mut running) in ["stalled", "stalled handler"].map(|role| (role, Running::start(&mut child(role)))) {
        let stderr = BufReader::new(running.0.stderr.take().unwrap());
        let (said, says) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = stderr.lines().map_while(Result::ok);
            said.send(lines.find(|line| line.contains("not polled"))).unwrap_or_default();
        });
        let line = says.recv_timeout(LONG).unwrap().expect("it is said");
        assert!(line.starts_with("logweir: the flush task was not polled for 1.0 s"), "{role}: {line}");
    }
}
