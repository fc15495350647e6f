//! Variables in the place of what is written.

use std::sync::{Arc, Mutex};

use logweir::config::{Config, ConfigError, SinkRegistry};
use logweir::error::Diagnostic;
use logweir::sink::MemorySink;
use logweir::{Level, Logger, info};

use super::unbuilt;
use crate::support::PATIENCE;

const FILE: &str = "
    filter = 'warn'
    grace_period = '1s'
    [sinks.access-log]
    type = 'memory'
    format = { type = 'text', colors = true }
    [sinks.short]
    type = 'memory'
    level = 'info'
    format = 'json'
";

#[derive(serde::Deserialize)]
struct MemoryKeys {
    #[serde(rename = "format")]
    _format: Option<logweir::config::FormatOptions>,
}

fn memory(memory: &MemorySink) -> SinkRegistry {
    let memory = memory.clone();
    SinkRegistry::new().register("memory", move |_: MemoryKeys| Ok::<_, std::io::Error>(memory.clone()))
}

fn overridden(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_toml(FILE).unwrap().with_vars(variables.iter().copied())
}

fn refused(name: &str, value: &str) -> String {
    let error = overridden(&[(name, value)]).expect_err(name);
    assert_eq!(error.variable(), Some(name), "{error}");
    error.to_string()
}

fn started(variables: &[(&str, &str)]) -> (Logger, MemorySink) {
    let sink = MemorySink::new();
    let logger = overridden(variables).unwrap().builder(&memory(&sink)).unwrap().start().unwrap();
    (logger, sink)
}

fn passes(variables: &[(&str, &str)]) -> Option<Level> {
    let (logger, _) = started(variables);
    Level::ALL.into_iter().find(|level| logger.enabled(*level, "app"))
}

#[test]
fn a_variable_takes_the_place_of_what_is_written_in_either_case() {
    assert_eq!(passes(&[]), Some(Level::Warn));
    assert_eq!(passes(&[("LOGWEIR__FILTER", "debug")]), Some(Level::Debug));
    assert_eq!(passes(&[("logweir__filter", "debug,hyper=warn")]), Some(Level::Debug));
    assert_eq!(passes(&[("OTHER__FILTER", "debug"), ("LOGWEIR_FILTER", "debug"), ("LOGWEIR", "x")]), Some(Level::Warn));
}

#[test]
fn a_filter_takes_the_place_of_a_level_and_a_level_that_of_a_filter() {
    assert_eq!(passes(&[("LOGWEIR__LEVEL", "trace")]), Some(Level::Trace));
    assert!(overridden(&[("LOGWEIR__SINKS__SHORT__FILTER", "app=debug")]).is_ok());
    let both = overridden(&[("LOGWEIR__LEVEL", "trace"), ("LOGWEIR__FILTER", "info")]).expect_err("both");
    assert!(both.to_string().ends_with("beside `level`; allowed is one of the two"), "{both}");
}

#[test]
fn a_blank_variable_is_not_set() {
    assert_eq!(
        passes(&[("LOGWEIR__FILTER", ""), ("LOGWEIR__GRACE_PERIOD", "  "), ("LOGWEIR__NOSUCH", "")]),
        Some(Level::Warn)
    );
}

#[test]
fn directives_of_a_variable_that_cannot_be_used_are_skipped_and_reported_and_the_rest_applies() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let started = |variables: &[(&str, &str)]| {
        let config = overridden(variables).unwrap();
        let handler = said.clone();
        let report = move |diagnostic: &Diagnostic| match diagnostic {
            Diagnostic::FilterSkipped { error } => {
                let skipped: Vec<_> = error.skipped().iter().map(|error| error.directive().to_owned()).collect();
                handler.lock().unwrap().push((error.variable().to_owned(), skipped));
            }
            other => panic!("{other}"),
        };
        let sink = MemorySink::new();
        let logger = config.builder(&memory(&sink)).unwrap().on_error(report).start().unwrap();
        let filter = logger.filter().to_string();
        info!(logger: logger, target: "app", "hello");
        drop(logger.shutdown_blocking(PATIENCE).unwrap());
        (filter, sink.total(), std::mem::take(&mut *said.lock().unwrap()))
    };
    let filter = ("LOGWEIR__FILTER", "app=info,[span]=debug,*=trace");
    let skipped = |name: &str, directives: &[&str]| {
        (name.to_owned(), directives.iter().map(|directive| (*directive).to_owned()).collect::<Vec<_>>())
    };
    // The level of the file stays for the others: a skipped directive turns nothing off.
    let expected = vec![skipped(filter.0, &["[span]=debug", "*=trace"])];
    assert_eq!(started(&[filter]), ("warn,app=info".to_owned(), 2, expected));
    let nothing = vec![skipped("LOGWEIR__FILTER", &["\"info\""])];
    assert_eq!(started(&[("LOGWEIR__FILTER", "'\"info\"'")]), ("warn".to_owned(), 0, nothing));
    assert_eq!(started(&[("LOGWEIR__FILTER", "\"\"")]).2.len(), 1);
    assert_eq!(started(&[("LOGWEIR__FILTER", "3")]).0, "warn");
    // The filter of a sink, here below a level of its own, which stays.
    let of_sink = ("LOGWEIR__SINKS__SHORT__FILTER", "err");
    let (filter, delivered, reports) = started(&[("LOGWEIR__FILTER", "info"), of_sink]);
    assert_eq!((filter.as_str(), delivered, reports), ("info", 2, vec![skipped(of_sink.0, &["err"])]));
}

/// Nothing is lost of a text that looks like something else.
#[test]
fn an_option_that_takes_text_is_given_the_text_of_the_variable() {
    #[derive(Debug, serde::Deserialize)]
    struct Options {
        token: String,
        secret: Option<Box<str>>,
        path: Option<std::path::PathBuf>,
        mark: Option<char>,
        port: Option<u16>,
        more: Option<std::collections::BTreeMap<String, String>>,
    }
    let given = Arc::new(Mutex::new(None));
    let seen = given.clone();
    let sinks = SinkRegistry::new().register("queue", move |options: Options| {
        *seen.lock().unwrap() = Some(options);
        Ok::<_, std::io::Error>(MemorySink::new())
    });
    let variables = [
        ("LOGWEIR__SINKS__Q__TOKEN", "12345"),
        ("LOGWEIR__SINKS__Q__SECRET", "[1, 2]"),
        ("LOGWEIR__SINKS__Q__PATH", "1e5"),
        ("LOGWEIR__SINKS__Q__MARK", "7"),
        ("LOGWEIR__SINKS__Q__PORT", "9092"),
        ("LOGWEIR__SINKS__Q__MORE__A", "{ b = 1 }"),
    ];
    let config = Config::from_toml("sinks.q.type = 'queue'").unwrap().with_vars(variables).unwrap();
    drop(config.builder(&sinks).unwrap());
    let Options { token, secret, path, mark, port, more } = given.lock().unwrap().take().unwrap();
    assert_eq!((token.as_str(), secret.as_deref()), ("12345", Some("[1, 2]")));
    assert_eq!((path, mark, port), (Some("1e5".into()), Some('7'), Some(9092)));
    assert_eq!(more.unwrap()["a"], "{ b = 1 }");
}

#[test]
fn a_name_of_a_sink_is_found_whatever_characters_it_has() {
    let said = refused("LOGWEIR__SINKS__ACCESS_LOG__LEVEL", "loud");
    assert!(said.starts_with(
        "environment variable `LOGWEIR__SINKS__ACCESS_LOG__LEVEL`: `sinks.access-log.level` is \"loud\"; allowed is"
    ));
    let two = Config::from_toml("sinks = { 'a-b' = { type = 'null' }, 'a.b' = { type = 'null' } }").unwrap();
    let error = two.clone().with_vars([("LOGWEIR__SINKS__A_B__LEVEL", "info")]).expect_err("two fit");
    let said = "environment variable `LOGWEIR__SINKS__A_B__LEVEL`: matches `a-b` and `\"a.b\"`; allowed is a name that \
                matches one of them";
    assert_eq!(error.to_string(), said);
    let cases = Config::from_toml("sinks = { File = { type = 'null' }, file = { type = 'null' } }").unwrap();
    let error = cases.clone().with_vars([("LOGWEIR__SINKS__FILE__LEVEL", "info")]).expect_err("two fit");
    assert!(error.to_string().contains(": matches `File` and `file`; "), "{error}");
    assert!(cases.with_vars([("LOGWEIR__SINKS__file__LEVEL", "info")]).is_ok());
    // One that fits exactly is meant.
    let exact = Config::from_toml("sinks = { 'a-b' = { type = 'null' }, 'A_b' = { type = 'null' } }").unwrap();
    assert!(exact.with_vars([("LOGWEIR__SINKS__A_B__LEVEL", "info")]).is_ok());
}

#[test]
fn a_value_is_read_as_toml_or_else_as_text() {
    for (name, value) in [
        ("LOGWEIR__LANES", "2"),
        ("LOGWEIR__LANES", " 2 "),
        ("LOGWEIR__MEMORY_LIMIT", "32MiB"),
        ("LOGWEIR__MEMORY_LIMIT", "33554432"),
        ("LOGWEIR__GRACE_PERIOD", "1m 30s"),
        ("LOGWEIR__GRACE_PERIOD", "\"5s\""),
        ("LOGWEIR__OVERFLOW", "drop_newest"),
        ("LOGWEIR__OVERFLOW", "{ block = \"50ms\" }"),
        ("LOGWEIR__OVERFLOW__BLOCK", "50ms"),
        ("LOGWEIR__RESERVE", "{ level = 'warn', percent = 10 }"),
        ("LOGWEIR__REDACT", "['password', '*_token']"),
        ("LOGWEIR__FILTER_FROM_ENV", "true"),
        ("LOGWEIR__ENRICH__SHARD", "7"),
        ("LOGWEIR__SINKS__SHORT__RETRY__MAX_DELAY", "5s"),
        ("LOGWEIR__SINKS__SHORT__RETRY", "never"),
        // Text is wanted there, so it is the text that was given.
        ("LOGWEIR__NAME", "7"),
        ("LOGWEIR__NAME", "1.10"),
        ("LOGWEIR__NAME", "true"),
    ] {
        drop(overridden(&[(name, value)]).unwrap_or_else(|error| panic!("{name}={value}: {error}")));
    }
    assert!(refused("LOGWEIR__GRACE_PERIOD", "5").ends_with(
        "`LOGWEIR__GRACE_PERIOD`: `grace_period` is 5; allowed is a duration with its unit, such as `100ms`, `5s` or `1m 30s`"
    ));
    assert!(refused("LOGWEIR__REDACT", "password").ends_with("`redact` is \"password\"; allowed is a list"));
    assert!(refused("LOGWEIR__LANES", "two").ends_with("`lanes` is \"two\"; allowed is a whole number, not below 0"));
}

#[test]
fn enriched_values_are_text_and_in_a_table_they_have_the_type_they_are_written_with() {
    let (logger, sink) = started(&[
        ("LOGWEIR__FILTER", "info"),
        ("LOGWEIR__ENRICH", "{ replicas = 3, weight = 0.5, spare = true }"),
        ("LOGWEIR__ENRICH__SHARD", "7"),
        ("LOGWEIR__ENRICH__REGION", "eu-west"),
        ("LOGWEIR__ENRICH__CANARY", "false"),
        ("LOGWEIR__ENRICH__podName", "'7'"),
    ]);
    info!(logger: logger, "hello");
    drop(logger.shutdown_blocking(PATIENCE).unwrap());
    let event = &sink.events()[0];
    assert_eq!(event.field("shard"), Some(logweir::Value::Str("7")));
    assert_eq!(event.field("region"), Some(logweir::Value::Str("eu-west")));
    assert_eq!(event.field("canary"), Some(logweir::Value::Str("false")));
    assert_eq!(event.field("podName"), Some(logweir::Value::Str("7")));
    assert_eq!(
        ["replicas", "weight", "spare"].map(|name| event.field(name)),
        [Some(logweir::Value::I64(3)), Some(logweir::Value::F64(0.5)), Some(logweir::Value::Bool(true)),]
    );
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_variable() {
    let said = refused("LOGWEIR__FLUSH_INTERVALL", "5s");
    let begins = "environment variable `LOGWEIR__FLUSH_INTERVALL`: unknown key `flush_intervall` (did you mean \
                  `flush_interval`?); allowed there:";
    assert!(said.starts_with(begins), "{said}");
    assert!(refused("LOGWEIR__SINKS__SHORT__RETRY__CAPS", "5s").contains("unknown key `sinks.short.retry.caps`"));
    assert!(refused("LOGWEIR__GRACE_PERIOD__MAX", "5s").contains("`grace_period` is a table; allowed is a duration"));
    for name in ["LOGWEIR__", "LOGWEIR__SINKS____LEVEL", "LOGWEIR__FILTER__"] {
        assert!(refused(name, "info").contains(": names no key; between its parts stand two underscores"), "{name}");
    }
}

#[test]
fn a_sink_can_be_added_but_not_without_a_type() {
    let added = [("LOGWEIR__SINKS__EXTRA__TYPE", "null"), ("LOGWEIR__SINKS__EXTRA__LEVEL", "error")];
    assert!(started(&added).0.stats().sinks.iter().any(|sink| sink.name == "extra"));
    let slip = "environment variable `LOGWEIR__SINKS__SHROT__LEVEL`: there is no sink `shrot` (did you mean `short`?); a new \
                one needs a `type`";
    assert_eq!(refused("LOGWEIR__SINKS__SHROT__LEVEL", "warn"), slip);
    let from_nothing = Config::default().with_vars([("LOGWEIR__SINKS__ONLY__TYPE", "null")]).unwrap();
    assert!(from_nothing.builder(&SinkRegistry::new()).unwrap().start().is_ok());
}

#[test]
fn an_option_of_a_format_does_not_change_the_format() {
    assert!(refused("LOGWEIR__SINKS__NEW__FORMAT__COLORS", "true").contains("there is no sink `new`; a new one needs"));
    let config = overridden(&[("LOGWEIR__SINKS__SHORT__FORMAT__COLORS", "true")]).unwrap();
    let error = unbuilt(&config, &memory(&MemorySink::new())).to_string();
    assert!(error.contains("unknown key `sinks.short.format.colors`"), "JSON has no colours: {error}");
    let config = overridden(&[("LOGWEIR__SINKS__ACCESS_LOG__FORMAT__COLORS", "false")]).unwrap();
    assert!(config.builder(&memory(&MemorySink::new())).is_ok());
}

#[test]
fn a_whole_table_comes_before_a_value_in_it() {
    let variables = [
        ("LOGWEIR__SINKS__NEW__TIMEOUT", "5"),
        ("LOGWEIR__SINKS__NEW", "{ type = 'null', timeout = '1s', level = 'info' }"),
    ];
    let error = overridden(&variables).expect_err("the value counts");
    assert_eq!(error.variable(), Some("LOGWEIR__SINKS__NEW__TIMEOUT"));
}

#[test]
fn two_variables_for_one_key_are_an_error() {
    let marks = [("LOGWEIR__SINKS__ACCESS-LOG__LEVEL", "warn"), ("LOGWEIR__SINKS__ACCESS_LOG__LEVEL", "info")];
    let said = overridden(&marks).expect_err("two").to_string();
    assert!(said.contains("_LOG__LEVEL`: is for the same key as `LOGWEIR__SINKS__ACCESS-LOG__LEVEL`; "), "{said}");
    let error = overridden(&[("logweir__grace_period", "1s"), ("LOGWEIR__NAME", "a"), ("LOGWEIR__GRACE_PERIOD", "2s")])
        .expect_err("two");
    let said = "environment variable `logweir__grace_period`: is for the same key as `LOGWEIR__GRACE_PERIOD`; allowed is one of the two";
    assert_eq!(error.to_string(), said);
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_unicode_is_an_error_if_the_variable_is_ours() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let broken = || OsString::from_vec(vec![b'a', 0xff]);
    let others = [(OsString::from("OTHER"), broken()), (broken(), broken())];
    assert!(Config::default().with_vars(others).is_ok());
    let error = Config::default().with_vars([(OsString::from("LOGWEIR__NAME"), broken())]).expect_err("no text");
    assert_eq!(error.to_string(), "environment variable `LOGWEIR__NAME`: its value is not Unicode");
}

#[test]
fn whatever_an_enriched_value_looks_like_it_is_the_text_that_was_given() {
    let (logger, sink) = started(&[
        ("LOGWEIR__FILTER", "info"),
        ("LOGWEIR__ENRICH__COMMIT", "12e4567"),
        ("LOGWEIR__ENRICH__SHORT", "1234e56"),
        ("LOGWEIR__ENRICH__VERSION", "1.10"),
        ("LOGWEIR__ENRICH__ZIP", "01234"),
        ("LOGWEIR__ENRICH__HEX", "0xff"),
        ("LOGWEIR__ENRICH__LIST", "[1, 2]"),
        ("LOGWEIR__ENRICH__TABLE", "{ a = 1 }"),
        ("LOGWEIR__ENRICH__BLANKS", " a b "),
        ("LOGWEIR__ENRICH__BUILT", "2026-11-24 17:00:00z"),
        ("LOGWEIR__ENRICH__LIMIT", "inf"),
    ]);
    info!(logger: logger, "hello");
    drop(logger.shutdown_blocking(PATIENCE).unwrap());
    let event = &sink.events()[0];
    assert_eq!(event.field("commit"), Some(logweir::Value::Str("12e4567")));
    for (name, text) in [
        ("short", "1234e56"),
        ("version", "1.10"),
        ("zip", "01234"),
        ("hex", "0xff"),
        ("list", "[1, 2]"),
        ("table", "{ a = 1 }"),
        ("blanks", " a b "),
    ] {
        assert_eq!(event.field(name), Some(logweir::Value::Str(text)));
    }
    assert_eq!(event.field("built"), Some(logweir::Value::Str("2026-11-24 17:00:00z")));
    assert_eq!(event.field("limit"), Some(logweir::Value::Str("inf")));
}

#[test]
fn a_name_of_very_many_parts_is_an_error_and_no_overflow_of_the_stack() {
    let name = format!("LOGWEIR__{}B", "A__".repeat(43_000));
    let error = Config::default().with_vars([(name, "1")]).expect_err("no key");
    assert!(error.to_string().contains(": names no key; "));
}
