//! Whatever a sink, its error or a destructor does: it is that sink's failure, counted, and no other's.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use logweir::sink::{BlockingSink, SinkErrorKind};
use logweir::{Batch, Blocking, DropReason, Level, Logger, Pipeline, Sink, SinkError, async_trait};

use crate::support::{PATIENCE, ScriptedSink, balance, builder, emit_numbers, end, once, start};

use super::{SECOND, one_by_one};

/// What an error does when it is printed, asked for its source or dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Evil {
    PanicsInDisplay,
    PanicsInSource,
    PanicsInDrop,
    WritesForEver,
    IgnoresTheEnd,
    IsItsOwnSource,
    IsLong,
}

impl Evil {
    const ALL: [Evil; 7] = [
        Evil::PanicsInDisplay,
        Evil::PanicsInSource,
        Evil::PanicsInDrop,
        Evil::WritesForEver,
        Evil::IgnoresTheEnd,
        Evil::IsItsOwnSource,
        Evil::IsLong,
    ];
}

struct EvilError(Evil);

impl fmt::Display for EvilError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Evil::PanicsInDisplay => panic!("scripted"),
            Evil::WritesForEver => loop {
                f.write_str("again and ")?;
            },
            Evil::IgnoresTheEnd => loop {
                f.write_str("again and ").unwrap_or_default();
            },
            Evil::IsLong => (0..28_000_000 / 100).try_for_each(|_| f.write_str(&"x".repeat(100))),
            Evil::PanicsInSource | Evil::PanicsInDrop | Evil::IsItsOwnSource => f.write_str("plain"),
        }
    }
}

impl fmt::Debug for EvilError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for EvilError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.0 {
            Evil::PanicsInSource => panic!("scripted"),
            Evil::IsItsOwnSource => Some(self),
            _ => None,
        }
    }
}

impl Drop for EvilError {
    fn drop(&mut self) {
        assert!(self.0 != Evil::PanicsInDrop || std::thread::panicking(), "scripted");
    }
}

/// Fails at each call with such an error.
struct Fails(Evil);

#[async_trait]
impl Sink for Fails {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        Err(SinkError::temporary(EvilError(self.0)))
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Err(SinkError::permanent(EvilError(self.0)))
    }

    async fn reopen(&mut self) -> Result<(), SinkError> {
        Err(SinkError::temporary(EvilError(self.0)))
    }

    fn take_error(&mut self) -> Option<SinkError> {
        Some(SinkError::temporary(EvilError(self.0)))
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_never_ends_or_is_long_when_it_is_printed_is_an_error_like_others() {
    for evil in Evil::ALL {
        // With a handler, and by the standard one.
        for has_handler in [true, false] {
            let sink = ScriptedSink::new();
            let builder = if has_handler {
                one_by_one()
            } else {
                Logger::builder().lanes(1).flush_interval(Duration::from_secs(3600))
            };
            let failing = once(Fails(evil)).fallback(once(Fails(evil)));
            let logger = start(builder.batch_size(1).sink("evil", failing).sink("sink", sink.clone())).await;
            emit_numbers(&logger, 0..3);
            let flushed = logger.flush(PATIENCE).await;
            let error = flushed.sinks[0].error.as_ref().expect("its flush fails");
            assert!(error.message.len() < 2048, "{evil:?}: {} bytes", error.message.len());
            assert!(logger.reopen(PATIENCE).await.is_err());
            let stats = logger.stats();
            assert_eq!(stats.sinks[0].dropped.get(DropReason::RetriesExhausted), 3, "{evil:?}: {stats:?}");
            assert!(stats.sinks[0].last_error.as_ref().is_some_and(|error| error.message.len() < 2048));
            assert!(format!("{stats:?}").len() < 20_000);
            let report = logger.shutdown(PATIENCE).await;
            balance(&report, &[("evil", 0), ("sink", sink.seen())]);
            assert!(!report.timed_out, "{evil:?}: {report}");
            assert_eq!(sink.numbers(), [0, 1, 2], "{evil:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_reads_the_statistics_when_it_is_printed_gets_them() {
    struct Reads(Arc<Mutex<Option<Logger>>>);

    impl fmt::Display for Reads {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let logger = self.0.lock().unwrap().clone();
            write!(f, "{}", logger.map_or(0, |logger| logger.stats().accepted))
        }
    }

    impl fmt::Debug for Reads {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Reads")
        }
    }

    impl Error for Reads {}

    struct Fails(Arc<Mutex<Option<Logger>>>);

    #[async_trait]
    impl Sink for Fails {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            Err(SinkError::temporary(Reads(self.0.clone())))
        }
    }

    let slot = Arc::default();
    let logger = start(one_by_one().sink("reads", once(Fails(Arc::clone(&slot))))).await;
    *slot.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, 0..3);
    assert!(logger.flush(PATIENCE).await.complete);
    let last = logger.stats().sinks[0].last_error.clone().unwrap();
    assert!(last.message.ends_with('3'), "{}", last.message);
    slot.lock().unwrap().take();
    balance(&logger.shutdown(PATIENCE).await, &[("reads", 0)]);
}

/// A method that panics; everything else works.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    WrittenBytes,
    TakeError,
    OutlivesTimeout,
    DropOfFuture,
    DropOfSink,
}

struct Panics {
    method: Method,
    told: ScriptedSink,
}

impl Panics {
    fn at(&self, method: Method) {
        assert!(self.method != method, "scripted");
    }
}

/// Panics when it is dropped unless it was disarmed.
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0 || std::thread::panicking(), "scripted");
    }
}

#[async_trait]
impl Sink for Panics {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if self.method == Method::DropOfFuture {
            let _bomb = Bomb(true);
            std::future::pending::<()>().await;
        }
        self.told.write(batch).await
    }

    fn written_bytes(&self) -> u64 {
        self.at(Method::WrittenBytes);
        7
    }

    fn take_error(&mut self) -> Option<SinkError> {
        self.at(Method::TakeError);
        None
    }

    fn outlives_timeout(&self) -> bool {
        self.at(Method::OutlivesTimeout);
        false
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(self.method != Method::DropOfSink || std::thread::panicking(), "scripted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_or_a_destructor_that_panics_is_an_error_of_its_sink_and_what_was_delivered_stays_so() {
    use Method::{DropOfFuture, DropOfSink, OutlivesTimeout, TakeError, WrittenBytes};
    for method in [WrittenBytes, TakeError, OutlivesTimeout, DropOfFuture, DropOfSink] {
        let (told, other) = (ScriptedSink::new(), ScriptedSink::new());
        let panics = once(Panics { method, told: told.clone() }).timeout(SECOND);
        let logger = start(one_by_one().sink("panics", panics).sink("other", other.clone())).await;
        emit_numbers(&logger, 0..3);
        assert!(logger.flush(PATIENCE).await.complete, "{method:?}");
        let report = logger.shutdown(PATIENCE).await;
        balance(&report, &[("panics", told.seen()), ("other", 3)]);
        let (of_it, events) = (&report.sinks[0], if method == DropOfFuture { 0 } else { 3 });
        assert_eq!((of_it.delivered, of_it.unconfirmed), (events, 3 - events), "{method:?}");
        let panicked = of_it.errors_of(SinkErrorKind::Panic);
        assert_eq!(panicked > 0, matches!(method, WrittenBytes | TakeError), "{method:?}: {panicked}");
    }
}

#[tokio::test]
async fn a_blocking_sink_whose_byte_count_panics_has_delivered_nevertheless() {
    struct Counts(ScriptedNumbers);
    type ScriptedNumbers = Arc<Mutex<Vec<u64>>>;

    impl BlockingSink for Counts {
        fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
            self.0
                .lock()
                .unwrap()
                .extend(batch.iter().map(|record| record.message().to_string().parse::<u64>().unwrap()));
            Ok(())
        }

        fn written_bytes(&self) -> u64 {
            assert!(self.0.lock().unwrap().is_empty(), "scripted");
            0
        }
    }

    let written = ScriptedNumbers::default();
    let logger = start(one_by_one().sink("counts", Pipeline::new(Blocking::new(Counts(written.clone()))))).await;
    emit_numbers(&logger, 0..3);
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("counts", 3)]);
    assert_eq!((&written.lock().unwrap()[..], report.sinks[0].errors > 0), (&[0, 1, 2][..], true));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_guarded_like_the_sink_before_it() {
    let (told, sink) = (ScriptedSink::new(), ScriptedSink::always(crate::support::Answer::Permanent));
    let fallback = Panics { method: Method::WrittenBytes, told: told.clone() };
    let logger = start(builder().sink("sink", once(sink.clone()).fallback(fallback))).await;
    emit_numbers(&logger, 0..3);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((told.numbers(), report.sinks[0].delivered_by_fallback), (vec![0, 1, 2], 3));
    assert!(report.sinks[0].fallbacks[0].errors > 0);
}

#[test]
fn an_error_that_blocks_when_it_is_printed_holds_up_neither_the_statistics_nor_the_deadline() {
    struct Blocks {
        begun: mpsc::Sender<()>,
        release: Arc<Mutex<mpsc::Receiver<()>>>,
    }

    impl fmt::Display for Blocks {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.begun.send(()).unwrap_or_default();
            // An error says that the test let go.
            self.release.lock().unwrap().recv().unwrap_or_default();
            f.write_str("printed")
        }
    }

    impl fmt::Debug for Blocks {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Blocks")
        }
    }

    impl Error for Blocks {}

    struct Fails(mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>);

    #[async_trait]
    impl Sink for Fails {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            Err(SinkError::rejected(Blocks { begun: self.0.clone(), release: self.1.clone() }))
        }
    }

    let (begun, has_begun) = mpsc::channel();
    let (hold, release) = mpsc::channel();
    let sink = Fails(begun, Arc::new(Mutex::new(release)));
    let logger = builder().flush_at(Level::Trace).sink("blocks", once(sink)).start().unwrap();
    emit_numbers(&logger, 0..1);
    has_begun.recv().unwrap();
    assert_eq!(logger.stats().sinks[0].in_flight, 1);
    let report = logger.shutdown_blocking(Duration::from_millis(100)).unwrap();
    report.check().unwrap();
    assert_eq!((report.timed_out, report.sinks[0].unconfirmed), (true, 1));
    drop(hold);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_before_its_logger_runs_is_a_build_error_or_gets_the_default() {
    struct Panics(ScriptedSink, &'static str);

    #[async_trait]
    impl Sink for Panics {
        fn open(&mut self) -> Result<(), SinkError> {
            assert!(self.1 != "open", "scripted");
            Ok(())
        }

        fn default_timeout(&self) -> Duration {
            assert!(self.1 != "default_timeout", "scripted");
            SECOND
        }

        async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
            self.0.write(batch).await
        }
    }

    let sink = ScriptedSink::new();
    let runtime = tokio::runtime::Handle::current();
    let error = builder().sink("opens", Panics(sink.clone(), "open")).start_on(&runtime).unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("opens") && text.contains("scripted"), "{text}");
    let logger = start(builder().sink("waits", Panics(sink.clone(), "default_timeout"))).await;
    emit_numbers(&logger, 0..3);
    end(&logger, &[("waits", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_that_reads_the_statistics_when_it_is_dropped_gets_them() {
    struct Reads(Arc<Mutex<Option<Logger>>>);

    impl Drop for Reads {
        fn drop(&mut self) {
            let logger = self.0.lock().unwrap().clone();
            logger.iter().for_each(|logger| assert_eq!(logger.stats().accepted, 3));
        }
    }

    impl fmt::Display for Reads {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("plain")
        }
    }

    impl fmt::Debug for Reads {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Reads")
        }
    }

    impl Error for Reads {}

    struct Fails(Arc<Mutex<Option<Logger>>>);

    #[async_trait]
    impl Sink for Fails {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            Err(SinkError::rejected(Reads(self.0.clone())))
        }

        async fn flush(&mut self) -> Result<(), SinkError> {
            Err(SinkError::temporary(Reads(self.0.clone())))
        }

        async fn reopen(&mut self) -> Result<(), SinkError> {
            Err(SinkError::permanent(Reads(self.0.clone())))
        }
    }

    let slot = Arc::default();
    let logger = start(one_by_one().sink("reads", once(Fails(Arc::clone(&slot))))).await;
    *slot.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, 0..3);
    // Twice: an error that is no news is dropped at once.
    for _ in 0..2 {
        assert!(logger.flush(PATIENCE).await.sinks[0].error.is_some());
        assert!(logger.reopen(PATIENCE).await.is_err());
    }
    slot.lock().unwrap().take();
    balance(&logger.shutdown(PATIENCE).await, &[("reads", 0)]);
}
