//! The listener: its port, its answers and its end.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use logweir::info;
use logweir::sink::{MemorySink, NullSink};
use tokio::runtime;

use super::{ANY_PORT, LONG, agree, end, quiet, request, scrape};

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
fn a_runtime_without_io_is_refused_for_the_listener() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let builder = quiet("no io").prometheus(ANY_PORT).sink("null", NullSink);
    let error = builder.start_on(runtime.handle()).unwrap_err();
    assert_eq!(error.option(), Some("start_on"));
    assert!(error.to_string().contains("enable_io"), "{error}");
    // Timers are enough for a logger without it.
    let logger = quiet("time").sink("null", NullSink).start_on(runtime.handle()).unwrap();
    info!(logger: logger, "x");
    let report = runtime.block_on(logger.shutdown(LONG));
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.timed_out), (1, false));
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
