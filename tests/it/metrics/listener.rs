//! The listener: its port, its answers and its end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use logweir::error::Diagnostic;
use logweir::sink::{MemorySink, NullSink};
use logweir::{Pipeline, Prometheus, State, info};
use tokio::runtime;

use super::{ANY_PORT, Choosy, LONG, agree, end, quiet, request, scrape};

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let addr = taken.local_addr().unwrap();
    let error = quiet("late").prometheus(addr).sink("null", NullSink).start().unwrap_err();
    assert_eq!(error.option(), Some("prometheus"));
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::AddrInUse));
}

#[test]
fn the_port_is_free_again_when_the_shutdown_has_returned() {
    let mut addr = SocketAddr::from(ANY_PORT);
    for _ in 0..10 {
        let logger = quiet("again").prometheus(addr).sink("null", NullSink).start().unwrap();
        addr = logger.prometheus_addr().unwrap();
        assert_ne!(addr.port(), 0);
        drop(scrape(&logger));
        end(&logger, &[]).check().unwrap();
        let refused = TcpStream::connect(addr).map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn the_listener_answers_only_what_it_is_for() {
    let logger = quiet("http").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let addr = logger.prometheus_addr().unwrap();
    let status = |method, path| request(addr, method, path).unwrap();
    for path in ["/", "/metrics/", "/favicon.ico"] {
        assert_eq!(status("GET", path).0, "HTTP/1.1 404 Not Found", "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let (status, head, _) = status(method, "/metrics");
        assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
        assert!(head.contains("allow: get, head"), "{head}");
    }
    let (head, _, body) = status("HEAD", "/metrics");
    assert_eq!((head.as_str(), body.as_str()), ("HTTP/1.1 200 OK", ""));
    assert_eq!(status("GET", "/metrics?name=x").0, "HTTP/1.1 200 OK");
    end(&logger, &[]).check().unwrap();
}

#[test]
fn connections_that_say_nothing_do_not_hold_up_a_scrape_or_the_shutdown() {
    let logger = quiet("idle").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let addr = logger.prometheus_addr().unwrap();
    let idle: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
    drop(scrape(&logger));
    let report = end(&logger, &[]);
    assert!(!report.timed_out && report.elapsed < LONG / 2);
    drop(idle);
}

#[test]
fn a_runtime_without_io_that_is_not_polled_is_enough_for_the_listener() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let logger = quiet("no io").prometheus(ANY_PORT).sink("null", NullSink).start_on(runtime.handle()).unwrap();
    info!(logger: logger, "x");
    assert_eq!(scrape(&logger).value("logweir_queue_depth{logger=\"no io\"}"), 1.0);
    let report = runtime.block_on(logger.shutdown(LONG));
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.timed_out), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_neither_stops_the_endpoint_nor_does_the_endpoint_move_the_clock() {
    let start = tokio::time::Instant::now();
    let builder = quiet("paused").prometheus(ANY_PORT).sink("null", NullSink);
    let logger = builder.start_on(&runtime::Handle::current()).unwrap();
    drop(scrape(&logger));
    let addr = logger.prometheus_addr().unwrap();
    let report = logger.shutdown(LONG).await;
    assert!(!report.timed_out);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn the_port_is_free_again_when_the_runtime_under_the_logger_was_dropped() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let builder = quiet("dropped").on_error(|_| {}).prometheus(ANY_PORT).sink("null", NullSink);
    let logger = builder.start_on(runtime.handle()).unwrap();
    let addr = logger.prometheus_addr().unwrap();
    drop(scrape(&logger));
    drop(runtime);
    assert!(TcpStream::connect(addr).is_err());
    assert!(matches!(logger.state(), State::Stopped { .. }));
}

#[test]
fn the_endpoint_ends_with_a_logger_whose_sink_hangs_at_the_deadline() {
    let hangs = Pipeline::new(Choosy { memory: MemorySink::new(), bytes: 0 }).timeout(10 * LONG);
    let builder = quiet("deadline").on_error(|_| {}).prometheus(ANY_PORT).sink("hangs", hangs);
    let logger = builder.start().unwrap();
    info!(logger: logger, "hang");
    let addr = logger.prometheus_addr().unwrap();
    let report = logger.shutdown_blocking(Duration::from_millis(100)).unwrap();
    assert!(report.timed_out && report.elapsed < Duration::from_secs(1), "{report}");
    let until = Instant::now() + LONG;
    while TcpStream::connect(addr).is_ok() {
        assert!(Instant::now() < until, "it still listens");
    }
}

#[test]
fn an_optional_port_in_use_is_reported_and_the_logger_starts_without_the_endpoint() {
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let addr = taken.local_addr().unwrap();
    let (reports, reported) = mpsc::channel();
    let on_error = move |error: &Diagnostic| {
        if let Diagnostic::MetricsUnavailable { addr, error } = error {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            reports.send((*addr, kind)).unwrap();
        }
    };
    let builder = quiet("optional").prometheus(Prometheus::new(addr).optional()).on_error(on_error);
    let logger = builder.sink("null", NullSink).start().unwrap();
    assert_eq!(logger.prometheus_addr(), None);
    info!(logger: logger, "x");
    let report = end(&logger, &[]);
    assert_eq!(report.sinks[0].delivered, 1);
    let reported: Vec<_> = reported.try_iter().collect();
    assert_eq!(reported, [(addr, Some(io::ErrorKind::AddrInUse))]);
    assert!(logger.render_metrics().unwrap().contains("logweir_sink_events_delivered_total"));
    // A port that is free is bound.
    let builder = quiet("optional").prometheus(Prometheus::new(ANY_PORT).optional());
    let logger = builder.sink("null", NullSink).start().unwrap();
    drop(scrape(&logger));
    end(&logger, &[]).check().unwrap();
}

#[test]
fn a_connection_is_answered_again_and_again_also_if_its_requests_come_at_once() {
    let logger = quiet("kept").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let mut stream = TcpStream::connect(logger.prometheus_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    for requests in [1, 1, 3] {
        let request = "HEAD /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(requests);
        stream.write_all(request.as_bytes()).unwrap();
        let (mut heads, mut buffer) = (String::new(), [0; 4096]);
        while heads.matches("\r\n\r\n").count() < requests {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "closed after {heads}");
            heads.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        assert_eq!(heads.matches("HTTP/1.1 200 OK\r\n").count(), requests, "{heads}");
    }
    end(&logger, &[]).check().unwrap();
}

#[test]
fn when_all_connections_are_taken_the_one_that_has_been_idle_longest_is_closed() {
    let logger = quiet("full").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let addr = logger.prometheus_addr().unwrap();
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"HEAD /metrics HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut head = String::new();
        let mut buffer = [0; 1024];
        while !head.ends_with("\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "closed");
            head.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    };
    let mut kept: Vec<_> = (0..16).map(|_| TcpStream::connect(addr).unwrap()).collect();
    kept.iter().for_each(|stream| stream.set_read_timeout(Some(LONG)).unwrap());
    kept.iter_mut().for_each(ask);
    // The third is idle longest now.
    let mut third = kept.remove(2);
    kept.iter_mut().for_each(ask);
    drop(scrape(&logger));
    assert_eq!(third.read(&mut [0]).unwrap(), 0, "closed");
    kept.iter_mut().for_each(ask);
    end(&logger, &[]).check().unwrap();
}

#[test]
fn a_logger_on_a_runtime_of_the_users_is_scraped_too() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let memory = MemorySink::new();
    let builder = quiet("guest").prometheus(ANY_PORT).sink("memory", memory.clone());
    let logger = builder.start_on(runtime.handle()).unwrap();
    (0..3).for_each(|_| info!(logger: logger, "x"));
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    agree(&scrape(&logger), "guest", &logger.stats());
    let addr = logger.prometheus_addr().unwrap();
    assert_eq!(end(&logger, &[("memory", &memory)]).accepted, 3);
    assert!(TcpStream::connect(addr).is_err(), "closed with the logger, not with the runtime");
}
