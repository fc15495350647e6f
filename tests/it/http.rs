//! What an HTTP destination gets, and what its answers mean.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod server;

use std::time::Duration;

use logweir::http::{HttpLimits, HttpSink, JsonArray, JsonLines, Secret};
use logweir::stats::SinkStats;
use logweir::{Breaker, Builder, DropReason, Logger, Pipeline, Retry};

use crate::support::{PATIENCE, emit_numbers, until};
use server::{Reply, Server, status};

/// Retries and probes soon, as often as it takes.
fn quick(sink: HttpSink<JsonLines>) -> Pipeline {
    let ms = Duration::from_millis;
    let retry = Retry::default().initial_delay(ms(1)).max_delay(ms(5)).max_elapsed(PATIENCE);
    let pipeline = logweir::IntoPipeline::into_pipeline(sink).retry(retry);
    pipeline.breaker(Breaker::default().probe_delay(ms(5)).max_probe_delay(ms(5)))
}

/// Whatever proxy the environment names.
fn to(server: &Server) -> HttpSink<JsonLines> {
    HttpSink::new(server.url(), JsonLines::new()).no_proxy()
}

fn builder() -> Builder<'static> {
    Logger::builder().lanes(1).on_error(|_| {})
}

fn start(pipeline: Pipeline) -> Logger {
    builder().sink("sink", pipeline).start().unwrap()
}

async fn end(logger: &Logger) -> SinkStats {
    let report = logger.shutdown(PATIENCE).await;
    report.check().unwrap();
    assert!(!report.timed_out, "{report}");
    report.sinks[0].clone()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// The error that a logger does not start with, with its sources.
fn refused(sink: HttpSink<JsonLines>) -> String {
    let error = builder().sink("sink", sink).start().unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn a_request_has_its_events_on_lines_and_the_headers_that_were_asked_for() {
    let server = Server::start([]).await;
    let sink = to(&server).header("x-shop", "1").bearer_auth("hunter2");
    let logger = start(quick(sink));
    emit_numbers(&logger, 0..100);
    let ended = end(&logger).await;
    assert_eq!((ended.delivered, server.messages()), (100, numbers(0..100)));
    let request = &server.received()[0];
    assert!(request.head.starts_with("POST /logs HTTP/1.1\r\n"), "{}", request.head);
    let expected = [
        ("content-type", "application/x-ndjson"),
        ("content-encoding", "gzip"),
        ("user-agent", concat!("logweir/", env!("CARGO_PKG_VERSION"))),
        ("x-shop", "1"),
        ("authorization", "Bearer hunter2"),
    ];
    expected.iter().for_each(|(name, value)| assert_eq!(request.header(name), Some(*value)));
    let sent: u64 = server.received().iter().map(|received| received.body.len() as u64).sum();
    assert_eq!(ended.written_bytes, sent);
}

#[tokio::test]
async fn an_array_is_one_json_document_and_a_name_and_a_password_are_encoded() {
    let server = Server::start([]).await;
    let sink = HttpSink::new(server.url(), JsonArray::new()).no_proxy().gzip(false).basic_auth("ada", "pass word");
    let logger = builder().sink("sink", sink).start().unwrap();
    emit_numbers(&logger, 0..3);
    assert_eq!(end(&logger).await.delivered, 3);
    let request = &server.received()[0];
    let all: Vec<serde_json::Value> = serde_json::from_slice(&request.plain()).unwrap();
    assert_eq!(all.iter().map(|event| event["message"].as_str().unwrap()).collect::<Vec<_>>(), numbers(0..3));
    assert_eq!(request.header("authorization"), Some("Basic YWRhOnBhc3Mgd29yZA=="));
}

#[tokio::test]
async fn every_failure_says_whether_the_events_may_have_arrived() {
    let failures = [
        (status(408), true),
        (status(425), false),
        (Reply::Status(429, "retry-after: 0\r\n", Vec::new()), false),
        (status(500), true),
        (status(502), true),
        (status(503), false),
        (status(504), true),
        (status(507), true),
        (Reply::Reset, true),
        (Reply::Cut(200), true),
        (Reply::Cut(503), false),
        (Reply::Garbage, true),
        (Reply::Informational, true),
        (status(401), false),
        (status(403), false),
        (status(404), false),
        (status(405), false),
        (status(302), false),
    ];
    for (failure, may_have_arrived) in failures {
        let server = Server::start([failure.clone()]).await;
        let logger = start(quick(to(&server)));
        emit_numbers(&logger, 0..10);
        assert!(logger.flush(PATIENCE).await.complete, "{failure:?}");
        let ended = end(&logger).await;
        let duplicates = if may_have_arrived { 10 } else { 0 };
        assert_eq!((ended.delivered, ended.maybe_duplicated), (10, duplicates), "{failure:?}: {ended}");
        assert_eq!(server.messages().len(), 20, "{failure:?}");
        assert!(ended.errors >= 1, "{failure:?}");
    }
}

#[tokio::test]
async fn a_slow_response_is_one() {
    let server = Server::start([Reply::Slow]).await;
    let logger = start(quick(to(&server)));
    emit_numbers(&logger, 0..10);
    let ended = end(&logger).await;
    assert_eq!((ended.delivered, ended.errors, server.messages()), (10, 0, numbers(0..10)));
}

#[tokio::test]
async fn a_rejected_event_is_found_and_the_others_are_delivered() {
    // Of 4: all, the first two, the first of the others, the second of them.
    let server = Server::start([status(400), status(200), status(422), status(400)]).await;
    let logger = start(quick(to(&server)));
    emit_numbers(&logger, 0..4);
    let ended = end(&logger).await;
    assert_eq!(ended.delivered + ended.dropped.get(DropReason::Rejected), 4, "{ended}");
    assert!(ended.dropped.get(DropReason::Rejected) >= 1 && ended.maybe_duplicated == 0, "{ended}");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    // Also by a server that does not end its answer.
    for too_large in [status(413), Reply::Cut(413)] {
        let server = Server::start([too_large]).await;
        let logger = start(quick(to(&server)));
        emit_numbers(&logger, 0..10);
        let ended = end(&logger).await;
        assert_eq!((ended.delivered, ended.dropped.total()), (10, 0), "{ended}");
        let sizes: Vec<usize> = server.received().iter().map(|received| received.messages().len()).collect();
        assert_eq!((sizes[0], sizes[1]), (10, 5), "{sizes:?}");
    }
}

#[tokio::test]
async fn a_destination_that_is_not_there_yet_gets_everything_once_it_is() {
    let addr = Server::start([]).await.addr;
    // Its port is free again.
    let logger = start(quick(HttpSink::new(format!("http://{addr}/logs"), JsonLines::new()).no_proxy()));
    emit_numbers(&logger, 0..10);
    until(&logger, |sink| sink.errors > 0).await;
    let server = Server::start_at(addr, []).await;
    assert!(logger.flush(PATIENCE).await.complete);
    let ended = end(&logger).await;
    assert_eq!((ended.delivered, ended.maybe_duplicated), (10, 0), "{ended}");
    assert_eq!(server.messages(), numbers(0..10));
}

#[tokio::test]
async fn one_connection_serves_all_requests() {
    let server = Server::start([]).await;
    let sink = to(&server).limits(HttpLimits::default().request_events(10));
    let logger = start(quick(sink));
    emit_numbers(&logger, 0..100);
    assert_eq!(end(&logger).await.delivered, 100);
    assert_eq!((server.received().len(), server.connections()), (10, 1));
}

#[tokio::test]
async fn limits_of_events_and_bytes_shape_the_requests_and_what_is_larger_is_rejected() {
    let server = Server::start([]).await;
    let limits = HttpLimits::default().request_bytes(1000).event_bytes(600);
    let logger = start(quick(to(&server).limits(limits)));
    emit_numbers(&logger, 0..50);
    logger.emit(logweir::Event::new(logweir::Level::Info, "t", &"x".repeat(600)));
    logger.emit(logweir::Event::new(logweir::Level::Info, "t", "50"));
    let ended = end(&logger).await;
    assert_eq!((ended.delivered, ended.dropped.get(DropReason::Rejected)), (51, 1), "{ended}");
    assert_eq!(server.messages(), numbers(0..51));
    assert!(server.received().iter().all(|received| received.plain().len() <= 1000));
}

#[tokio::test]
async fn an_event_that_is_too_old_is_rejected_before_a_request_is_spent() {
    let server = Server::start([]).await;
    let limits = HttpLimits::default().oldest(Duration::from_secs(3600));
    let logger = start(quick(to(&server).limits(limits)));
    let old = std::time::SystemTime::now() - Duration::from_secs(7200);
    logger.emit(logweir::Event::new(logweir::Level::Info, "t", "old").with_timestamp(old));
    let ended = end(&logger).await;
    assert_eq!(ended.dropped.get(DropReason::Rejected), 1, "{ended}");
    let messages: Vec<String> = server.received().iter().flat_map(|received| received.messages()).collect();
    assert!(messages.iter().all(|message| message != "old"), "{messages:?}");
}

#[tokio::test]
async fn a_rotated_secret_is_read_again_when_the_old_one_is_refused() {
    let server = Server::start([status(401)]).await;
    let file = std::env::temp_dir().join(format!("logweir-secret-{}", std::process::id()));
    std::fs::write(&file, "old\n").unwrap();
    let sink = to(&server).bearer_auth(Secret::file(&file));
    let logger = start(quick(sink));
    std::fs::write(&file, "new\n").unwrap();
    emit_numbers(&logger, 0..10);
    let ended = end(&logger).await;
    std::fs::remove_file(&file).unwrap();
    let tokens: Vec<String> =
        server.received().iter().map(|received| received.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer old", "Bearer new"]);
    assert_eq!((ended.delivered, ended.errors, ended.maybe_duplicated), (10, 0, 0), "{ended}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_named_without_its_query() {
    let elsewhere = Reply::Status(307, "location: http://elsewhere/logs?key=hunter2\r\n", Vec::new());
    let server = Server::start([elsewhere]).await;
    let logger = start(quick(to(&server)));
    emit_numbers(&logger, 0..1);
    until(&logger, |sink| sink.errors > 0).await;
    let error = logger.stats().sinks[0].last_error.clone().unwrap().message;
    assert!(error.contains("307") && error.contains("http://elsewhere/logs") && !error.contains("hunter2"), "{error}");
    assert_eq!(end(&logger).await.delivered, 1);
}

#[tokio::test]
async fn a_destination_that_never_answers_holds_up_nothing_beyond_the_deadline() {
    let server = Server::start([Reply::Silence]).await;
    let logger = start(quick(to(&server)));
    emit_numbers(&logger, 0..10);
    until(&logger, |sink| sink.in_flight > 0).await;
    let began = std::time::Instant::now();
    let report = logger.shutdown(Duration::from_millis(200)).await;
    report.check().unwrap();
    assert!(report.timed_out && began.elapsed() < PATIENCE, "{report}");
    let sink = &report.sinks[0];
    assert_eq!(sink.delivered + sink.unconfirmed + sink.dropped.total(), 10, "{report}");
    assert!(sink.unconfirmed > 0, "a request that was sent may have arrived: {report}");
}

#[test]
fn what_cannot_be_is_an_error_of_the_start_that_names_the_option_and_shows_no_secret() {
    let sink = |url: &str| HttpSink::new(url, JsonLines::new());
    let here = "http://localhost:1/";
    for (sink, expected) in [
        (sink("http://"), "`url`"),
        (sink("localhost:4318"), "`url`"),
        (sink("ftp://localhost/"), "`url` is `ftp://localhost/`"),
        (sink("http://ada:hunter2@localhost/"), "`basic_auth`"),
        (sink("http://ada:hunter2#1@localhost/"), "its port is no number"),
        (sink("http://ada:hunter2?1@localhost/"), "its port is no number"),
        (sink("http://ada:hunter2"), "its port is no number"),
        (sink(here).proxy("http://ada:hunter2#1@localhost"), "its port is no number"),
        (sink("http://localhost/?key=hunter2 x"), "`url`"),
        (sink(here).header("a b", "hunter2"), "`header` is `a b`"),
        (sink(here).header("host", "hunter2"), "`header` is `host`"),
        (sink(here).header("x", "hunter2\n"), "`header` is `x`"),
        (sink(here).bearer_auth("hunter2\u{0}"), "`header` is `authorization`"),
        (sink(here).bearer_auth(Secret::variable("LOGWEIR_TEST_NOT_SET")), "`LOGWEIR_TEST_NOT_SET`"),
        (sink(here).bearer_auth(Secret::file("/nowhere/token")), "/nowhere/token"),
        (sink(here).proxy("socks5://ada:hunter2@localhost"), "`proxy` is `socks5://***@localhost`"),
        #[cfg(feature = "tls")]
        (sink("https://localhost/").ca_file("/nowhere/ca.pem"), "`ca_file` is `/nowhere/ca.pem`"),
        #[cfg(feature = "tls")]
        (sink("https://localhost/").ca_file("Cargo.toml"), "`ca_file` is `Cargo.toml`: it has no certificates"),
        #[cfg(not(feature = "tls"))]
        (sink("https://localhost/"), "`https` needs the feature `tls`"),
        (sink(here).limits(HttpLimits::default().request_bytes(10)), "`request_bytes` is `10`"),
    ] {
        let shown = format!("{sink:?}");
        let error = refused(sink);
        assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn an_answer_that_repeats_a_secret_does_not_have_it_shown() {
    // As it is, as it is sent, and where the text is cut.
    let long = format!("{}hunter2", "x".repeat(250));
    for (body, shown) in
        [("hunter2 is not valid", "is not valid"), ("not valid: Basic YWRhOmh1bnRlcjI=", "not valid"), (&*long, "xxx")]
    {
        let echo = Reply::Status(401, "", body.as_bytes().to_vec());
        let server = Server::start([echo.clone(), echo]).await;
        let logger = start(quick(to(&server).basic_auth("ada", "hunter2")));
        emit_numbers(&logger, 0..1);
        until(&logger, |sink| sink.errors > 0).await;
        let error = logger.stats().sinks[0].last_error.clone().unwrap().message;
        assert!(error.contains(shown) && !error.contains("hunt") && !error.contains("YWRh"), "{error}");
        end(&logger).await;
    }
}

#[tokio::test]
async fn a_proxy_gets_the_whole_url_and_its_password_and_the_destination_need_not_be_known_here() {
    let proxy = Server::start([]).await;
    let url = format!("http://ada:hunter2@{}", proxy.addr);
    let sink = HttpSink::new("http://destination.invalid/logs", JsonLines::new()).proxy(url);
    let logger = start(quick(sink));
    emit_numbers(&logger, 0..10);
    let ended = end(&logger).await;
    assert_eq!((ended.delivered, proxy.messages()), (10, numbers(0..10)));
    let request = &proxy.received()[0];
    assert!(request.head.starts_with("POST http://destination.invalid/logs HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("proxy-authorization"), Some("Basic YWRhOmh1bnRlcjI="));
}
