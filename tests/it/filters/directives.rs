//! The grammar of directives: what matches nothing is an error that says what was meant.

use logweir::filter::{Filter, ParseFilterError};
use logweir::sink::NullSink;
use logweir::{Level, LevelFilter, Logger, Pipeline};

use crate::support::builder;

fn refused(text: &str) -> ParseFilterError {
    text.parse::<Filter>().map(drop).expect_err(text)
}

#[test]
fn a_filter_that_matches_nothing_is_an_error_that_suggests_what_was_meant() {
    for (text, directive, suggestion) in [
        ("\"info\"", "\"info\"", Some("info")),
        (" 'info,app=debug' ", "'info,app=debug'", Some("info,app=debug")),
        ("`info`", "`info`", Some("info")),
        ("\u{201c}info\u{201d}", "\u{201c}info\u{201d}", Some("info")),
        ("info,app=\"debug\"", "app=\"debug\"", Some("app=debug")),
        ("\"app=debug", "\"app=debug", Some("app=debug")),
        ("warning", "warning", Some("warn")),
        ("app=Warning", "app=Warning", Some("app=warn")),
        ("=warning", "=warning", Some("warn")),
        ("err", "err", Some("error")),
        ("none", "none", Some("off")),
        ("app=none", "app=none", Some("app=off")),
        ("false", "false", Some("off")),
        ("true", "true", Some("trace")),
        ("TRUE", "TRUE", Some("trace")),
        ("critical", "critical", Some("fatal")),
        ("3", "3", None),
        ("app=3", "app=3", None),
        ("*", "*", Some("trace")),
        ("*=debug", "*=debug", Some("debug")),
        ("app::*=debug", "app::*=debug", Some("app=debug")),
        ("app*", "app*", Some("app")),
        ("*app=debug", "*app=debug", None),
        ("info;app=debug", "info;app=debug", Some("info,app=debug")),
        ("info|app=debug", "info|app=debug", Some("info,app=debug")),
        ("info app=debug", "info app=debug", Some("info,app=debug")),
        ("app=debug hyper=warn", "app=debug hyper=warn", Some("app=debug,hyper=warn")),
        ("\u{feff}info", "\u{feff}info", Some("info")),
        ("in\u{200b}fo", "in\u{200b}fo", Some("info")),
        ("debgu", "debgu", Some("debug")),
        ("ifno", "ifno", Some("info")),
        ("warnn", "warnn", Some("warn")),
        ("app=debgu", "app=debgu", Some("app=debug")),
        ("my-crate=debug", "my-crate=debug", Some("my_crate=debug")),
        ("info, my-crate", "my-crate", Some("my_crate")),
        ("app:debug", "app:debug", Some("app=debug")),
        ("RUST_LOG=debug", "RUST_LOG=debug", Some("debug")),
        ("crate::db=debug", "crate::db=debug", None),
        ("app>=debug", "app>=debug", None),
        ("app==debug", "app==debug", Some("app=debug")),
        ("=", "=", None),
        ("info\u{ff0c}app=debug", "info\u{ff0c}app=debug", Some("info,app=debug")),
        ("info\u{ff1b}app=debug", "info\u{ff1b}app=debug", Some("info,app=debug")),
        ("app\u{ff1d}debug", "app\u{ff1d}debug", Some("app=debug")),
        ("my\u{2013}crate=debug", "my\u{2013}crate=debug", None),
        ("info:app=debug", "info:app=debug", Some("info,app=debug")),
        ("info.app=debug", "info.app=debug", Some("info,app=debug")),
    ] {
        let error = refused(text);
        assert_eq!((error.directive(), error.suggestion()), (directive, suggestion), "{text}: {error}");
        let said = error.to_string();
        let meant = suggestion.map(|suggestion| format!("; did you mean `{suggestion}`?"));
        assert!(meant.is_none_or(|meant| said.ends_with(&meant)), "{said}");
        // What is suggested is no error of another kind.
        assert!(suggestion.is_none_or(|suggestion| suggestion.parse::<Filter>().is_ok()), "{suggestion:?}");
    }
}

#[test]
fn a_filter_that_matches_something_is_taken_as_it_is() {
    for (text, shown) in [
        ("app=", "off,app=trace"),
        ("info,app= ", "info,app=trace"),
        ("debgu=trace", "off,debgu=trace"),
        ("warning=info", "off,warning=info"),
        ("my_crate::db=debug", "off,my_crate::db=debug"),
        ("http.server=debug", "off,http.server=debug"),
        ("tonic", "off,tonic=trace"),
        ("\"my-crate\"=debug", "off,\"my-crate\"=debug"),
        ("'my-crate' = debug, info", "info,\"my-crate\"=debug"),
        ("'say \"hi\"'=warn", "off,'say \"hi\"'=warn"),
        ("\"a=b\"=", "off,\"a=b\"=trace"),
        ("\"plain\"=info", "off,plain=info"),
    ] {
        let filter: Filter = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(filter.to_string(), shown);
        assert_eq!(shown.parse::<Filter>().as_ref(), Ok(&filter));
    }
    let filter: Filter = "off,\"my-crate\"=debug".parse().unwrap();
    assert!(filter.allows(Level::Debug, "my-crate::x") && !filter.allows(Level::Fatal, "my_crate"));
}

#[test]
fn a_filter_is_taken_as_text_as_a_filter_or_as_a_level() {
    let parsed: Filter = "info,app=debug".parse().unwrap();
    let text = "info,app=debug".to_owned();
    let start = |pipeline: Pipeline| {
        let builder = builder().filter(parsed.clone()).sink("null", pipeline);
        let logger = builder.start().unwrap();
        assert_eq!(logger.filter(), parsed);
        logger
    };
    let logger = start(Pipeline::new(NullSink).filter(&parsed));
    logger.set_filter(&text).unwrap();
    logger.set_filter(Level::Warn).unwrap();
    assert_eq!(logger.filter().to_string(), "warn");
    logger.set_temporary_filter(LevelFilter::Off, std::time::Duration::MAX).unwrap();
    assert_eq!(logger.filter().to_string(), "off");
    logger.set_sink_filter("null", text.clone()).unwrap();
    let deferred = builder().filter(text.replace("debug", "loud")).sink("null", NullSink).start().unwrap_err();
    assert_eq!(deferred.option(), Some("filter"));
    drop(Logger::builder().filter(text).filter("info"));
}
