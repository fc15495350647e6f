//! Clients that misuse the endpoint cost no event, no scrape and no shutdown.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use logweir::sink::NullSink;
use logweir::{Builder, Logger, Overflow, Pipeline, WhenFull, info};

use super::{ANY_PORT, LONG, end, quiet, scrape};

const EVENTS: u64 = 200_000;
const BURST: u64 = 8000;
const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n";
/// How long a scrape may take while the hostile clients continue.
const PROMPTLY: Duration = Duration::from_secs(1);

/// What a client does with a connection, until it is closed or the test ends.
#[derive(Clone, Copy)]
enum Abuse {
    /// Sends requests without end, and reads the answers.
    Pipelines,
    /// Sends nothing.
    Silent,
    /// Sends a head that never ends, byte by byte.
    Drips,
    /// Sends requests without end, and reads no answer.
    NeverReads,
    /// Connects without end, and leaves after a request.
    Reconnects,
}

/// Threads that connect again and again.
struct Hostile {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Hostile {
    fn start(addr: SocketAddr, abuses: &[Abuse], clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |abuse: Abuse| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // The end of a connection is what a hostile client is for.
                    abuse.run(addr, &stop).unwrap_or_default();
                }
            })
        };
        let clients = abuses.iter().cycle().take(clients).map(|abuse| client(*abuse)).collect();
        Hostile { stop, clients }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
    }
}

impl Abuse {
    fn run(self, addr: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
        let mut stream = TcpStream::connect(addr)?;
        // So that a client sees the end of the test.
        stream.set_read_timeout(Some(Duration::from_millis(10)))?;
        stream.set_write_timeout(Some(Duration::from_millis(10)))?;
        let mut buffer = vec![0; 1 << 16];
        let is_late = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        while !stop.load(Ordering::Relaxed) {
            let sent = match self {
                Abuse::Pipelines | Abuse::NeverReads => stream.write(&GET.repeat(8)),
                Abuse::Silent => Ok(0),
                Abuse::Drips => stream.write(b"G"),
                Abuse::Reconnects => return stream.write_all(GET),
            };
            let done = match self {
                Abuse::NeverReads => sent,
                _ => sent.and_then(|_| match stream.read(&mut buffer)? {
                    0 => Err(ErrorKind::UnexpectedEof.into()),
                    read => Ok(read),
                }),
            };
            match done {
                Err(error) if !is_late(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

const EVERY_ABUSE: [Abuse; 5] = [Abuse::Pipelines, Abuse::Silent, Abuse::Drips, Abuse::NeverReads, Abuse::Reconnects];

/// The events in bursts that a lane just holds. The next one comes when the queue is empty, or else after a second.
fn emit_bursts(logger: &Logger) {
    for _ in 0..EVENTS / BURST {
        (0..BURST).for_each(|number| info!(logger: logger, "event", number));
        drop(logger.flush_blocking(PROMPTLY).unwrap());
    }
}

/// Logs and scrapes while 16 clients of every kind continue.
fn under_attack(builder: Builder<'_>, emit: impl Fn(&Logger)) {
    // One attack at a time: the machine is shared with other tests.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let logger = builder.start().unwrap();
    let hostile = Hostile::start(logger.prometheus_addr().unwrap(), &EVERY_ABUSE, 16);
    let done = AtomicBool::new(false);
    let mut scrapes = thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut scrapes = Vec::new();
            while scrapes.len() < 10 || !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                drop(scrape(&logger));
                scrapes.push(start.elapsed());
            }
            scrapes
        });
        emit(&logger);
        done.store(true, Ordering::Relaxed);
        scraper.join().unwrap()
    });
    // With the clients still there.
    let report = end(&logger, &[]);
    assert!(!report.timed_out && report.elapsed < 5 * PROMPTLY, "{report}");
    assert_eq!((report.emitted, report.sinks[0].delivered), (EVENTS, EVENTS), "{report}");
    hostile.end();
    // One in ten may have waited for the machine.
    scrapes.sort_unstable();
    assert!(scrapes[scrapes.len() * 9 / 10 - 1] < PROMPTLY, "{scrapes:?}");
}

#[test]
fn hostile_clients_cost_a_lossless_logger_no_event_and_a_scrape_no_second() {
    let sink = Pipeline::new(NullSink).when_full(WhenFull::Block);
    let builder = quiet("lossless").prometheus(ANY_PORT).overflow(Overflow::Block(LONG)).sink("null", sink);
    under_attack(builder, |logger| (0..EVENTS).for_each(|number| info!(logger: logger, "event", number)));
}

#[test]
fn hostile_clients_cost_a_logger_with_the_defaults_no_event_and_a_scrape_no_second() {
    let builder = Logger::builder().name("default").prometheus(ANY_PORT).sink("null", NullSink);
    under_attack(builder, emit_bursts);
}

#[test]
fn silent_clients_four_times_as_many_as_connections_delay_no_scrape_by_a_second() {
    let logger = quiet("silent").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let addr = logger.prometheus_addr().unwrap();
    let silent: Vec<_> = (0..64).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let start = Instant::now();
    drop(scrape(&logger));
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
    let report = end(&logger, &[]);
    assert!(!report.timed_out && report.elapsed < PROMPTLY, "{report}");
    drop(silent);
}
