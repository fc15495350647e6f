//! What is refused, in the words a user reads.

use std::error::Error;
use std::fs;
use std::io;

use logweir::BuildError;
use logweir::config::{Config, SinkRegistry};
use logweir::filter::ParseFilterError;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{buildable_example, folder, from_json, refused, unbuilt, whole_example};
use crate::support::cases;

const SECOND: &str = "a duration with its unit, such as `100ms`, `5s` or `1m 30s`";

#[test]
fn a_wrong_value_is_named_with_its_line_its_key_and_what_is_allowed() {
    for (text, said) in [
        ("grace_period = 5", format!("text:1: `grace_period` is 5; allowed is {SECOND}")),
        ("grace_period = '5'", format!("text:1: `grace_period` is '5'; allowed is {SECOND}")),
        ("\n\ngrace_period = \"5 parsecs\"", format!("text:3: `grace_period` is \"5 parsecs\"; allowed is {SECOND}")),
        ("lanes = -1", "text:1: `lanes` is -1; allowed is a whole number, not below 0".into()),
        ("lanes = 1.5", "text:1: `lanes` is 1.5; allowed is a whole number, not below 0".into()),
        ("name = 0x10", "text:1: `name` is 0x10; allowed is text".into()),
        ("filter_from_env = 'yes'", "text:1: `filter_from_env` is 'yes'; allowed is `true` or `false`".into()),
        (
            "memory_limit = '64 megs'",
            "text:1: `memory_limit` is '64 megs'; allowed is a size, such as `64MiB`, `64 MB` or a whole number of bytes".into(),
        ),
        (
            "flush_at = 'loud'",
            "text:1: `flush_at` is 'loud'; allowed is `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `off`".into(),
        ),
        (
            "overflow = 'drop'",
            "text:1: `overflow` is 'drop'; allowed is `drop_oldest`, `drop_newest`, or a table with a duration: \
             `{ block = \"50ms\" }`"
                .into(),
        ),
        ("overflow.block = 5", format!("text:1: `overflow.block` is 5; allowed is {SECOND}")),
        ("reserve = 10", "text:1: `reserve` is 10; allowed is a table of `level` and `percent`".into()),
        ("reserve = { level = 'warn' }", "text:1: `reserve.percent` is missing".into()),
        (
            "reserve = { level = 'warn', percent = '10' }",
            "text:1: `reserve.percent` is '10'; allowed is a whole number of percent, such as `10` or `10%`".into(),
        ),
        (
            "notice_interval = 'always'",
            format!("text:1: `notice_interval` is 'always'; allowed is `never`, or {SECOND}"),
        ),
        ("redact = 'password'", "text:1: `redact` is 'password'; allowed is a list".into()),
        ("redact = [\n'password',\n7]", "text:3: `redact[1]` is 7; allowed is text".into()),
        ("enrich.a = [1]", "text:1: `enrich.a` is a list; allowed is text, a number, `true` or `false`".into()),
        ("enrich.a.b = 1", "text:1: `enrich.a` is a table; allowed is text, a number, `true` or `false`".into()),
        ("enrich = 1", "text:1: `enrich` is 1; allowed is a table of fields, such as `service = \"checkout\"`".into()),
        (
            "sinks = 'console'",
            "text:1: `sinks` is 'console'; allowed is a table of sinks, such as `[sinks.console]` with `type = \"console\"`"
                .into(),
        ),
        ("sinks.a = 'console'", "text:1: `sinks.a` is a text of 7 characters; allowed is a table with a `type`".into()),
        ("[sinks.a]\nlevel = 'info'", "text:1: `sinks.a.type` is missing".into()),
        ("sinks.\"a b\".type = 7", "text:1: `sinks.\"a b\".type` is 7; allowed is text".into()),
        ("[sinks.a]\ntype = 'file'", "text:1: `sinks.a.path` is missing".into()),
    ] {
        assert_eq!(refused(text), said);
    }
}

#[test]
fn policies_of_a_sink_say_what_they_are_made_of() {
    for (key, value, said) in [
        ("retry.initial_delay", "5", format!("text:2: `sinks.a.retry.initial_delay` is 5; allowed is {SECOND}")),
        ("retry.max_attempts", "-1", "text:2: `sinks.a.retry.max_attempts` is -1; allowed is a whole number from 0 to 4294967295".into()),
        (
            "retry",
            "'no'",
            "text:2: `sinks.a.retry` is 'no'; allowed is `never`, or a table of `initial_delay`, `max_delay`, `max_elapsed`, \
             `max_attempts` and `seed`"
                .into(),
        ),
        (
            "breaker",
            "false",
            "text:2: `sinks.a.breaker` is false; allowed is `never`, or a table of `failure_threshold`, `probe_delay` and `max_probe_delay`".into(),
        ),
        ("when_full", "'wait'", "text:2: `sinks.a.when_full` is 'wait'; allowed is `drop_oldest`, `drop_newest` or `block`".into()),
        (
            "colors",
            "'allways'",
            "text:2: `sinks.a.colors` is 'allways' (did you mean `always`?); allowed is `auto`, `always` or `never`".into(),
        ),
        ("format.type", "'jsn'", "text:2: `sinks.a.format.type` is 'jsn' (did you mean `json`?); allowed is ".into()),
        (
            "format",
            "{ type = 'json', keys.file = true }",
            "text:2: `sinks.a.format.keys.file` is true; allowed is a key as text, or `false` to leave it out".into(),
        ),
        ("format", "'jsn'", "text:2: `sinks.a.format` is 'jsn'; allowed is `text`, `pretty`, `json`, `clef` or `logfmt`, or a table".into()),
        ("format.colors", "true", "text:2: `sinks.a.format.type` is missing".into()),
        ("format", "{ colors = 1, type = 'text' }", "text:2: `sinks.a.format.colors` is 1; allowed is `true` or `false`".into()),
        (
            "format",
            "{ type = 'text', utc_offset = '+2' }",
            "text:2: `sinks.a.format.utc_offset` is '+2'; allowed is an offset from UTC, such as `+02:00`, `-03:30` or `Z`".into(),
        ),
        ("fallback", "'console'", "text:2: `sinks.a.fallback` is a text of 7 characters; allowed is a table with a `type`".into()),
        ("fallback.stream", "'stderr'", "text:2: `sinks.a.fallback.type` is missing".into()),
    ] {
        let error = refused(&format!("sinks.a.type = 'console'\nsinks.a.{key} = {value}"));
        assert!(error.starts_with(&said), "{error}\n{said}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_probably_meant_and_all_that_are_allowed() {
    let root = refused("flush_intervall = '5s'");
    assert!(
        root.starts_with(
            "text:1: unknown key `flush_intervall` (did you mean `flush_interval`?); allowed there: `name`,"
        )
    );
    assert!(root.ends_with("`prometheus` and `sinks`"), "{root}");
    let nested = refused("[sinks.a]\ntype = 'null'\n[sinks.a.breaker]\nfailure_treshold = 3");
    let said = "text:4: unknown key `sinks.a.breaker.failure_treshold` (did you mean `failure_threshold`?); allowed there: `failure_threshold`, \
                `probe_delay` and `max_probe_delay`";
    assert_eq!(nested, said);
    // The keys of its type, and those that every sink has.
    let sink = refused("[sinks.a]\ntype = 'console'\nstrem = 'stderr'");
    assert!(sink.starts_with("text:3: unknown key `sinks.a.strem` (did you mean `stream`?)"), "{sink}");
    assert!(["`colors`", "`type`", "`when_full`", "`fallback`"].iter().all(|key| sink.contains(key)), "{sink}");
    let far = refused("verbosity = 3");
    assert!(far.starts_with("text:1: unknown key `verbosity`; allowed there:"), "{far}");
    let format = refused("sinks.a = { type = 'console', format = { type = 'text', color = true } }");
    assert!(format.starts_with("text:1: unknown key `sinks.a.format.color` (did you mean `colors`?)"), "{format}");
}

/// A fallback's events, waits and backlog are its primary's: what would do nothing there is no key there.
#[test]
fn a_fallback_takes_no_key_that_would_do_nothing() {
    let fallback = |key: &str| format!("[sinks.a]\ntype = 'null'\n[sinks.a.fallback]\ntype = 'null'\n{key}");
    assert!(Config::from_toml(&fallback("timeout = '1s'")).is_ok());
    for key in ["level = 'info'", "retry = 'never'", "backlog_bytes = 1024", "when_full = 'block'"] {
        let error = refused(&fallback(key));
        assert!(error.starts_with("text:5: unknown key `sinks.a.fallback."), "{error}");
        assert!(error.ends_with("; allowed there: `type`, `timeout`, `batching` and `fallback`"), "{error}");
    }
}

#[test]
fn a_filter_keeps_its_column_and_its_error() {
    let error = Config::from_toml("[sinks.a]\ntype = 'null'\nfilter = 'info,app=loud'").expect_err("no level");
    let said = "text:3: `sinks.a.filter` is 'info,app=loud': filter directive `app=loud` at column 6: `loud` is not a level; \
                expected trace, debug, info, warn, error, fatal or off";
    assert_eq!(
        (error.to_string().as_str(), format!("{error:?}").as_str()),
        ("text:3: `sinks.a.filter` is 'info,app=loud'", said)
    );
    let source = error.source().and_then(|source| source.downcast_ref::<ParseFilterError>()).expect("its error");
    assert_eq!((source.column(), error.line()), (6, Some(3)));
    let blank = format!("{:?}", Config::from_toml("filter = 'a b'").expect_err("a blank"));
    assert!(blank.starts_with("text:1: `filter` is 'a b': filter directive `a b` at column 1"), "{blank}");
}

#[test]
fn a_filter_and_a_level_are_not_set_side_by_side() {
    assert_eq!(
        refused("level = 'info'\nfilter = 'debug'"),
        "text:2: `filter` is 'debug', beside `level`; allowed is one of the two"
    );
    assert_eq!(
        refused("[sinks.a]\nlevel = 'info'\nfilter = 'debug'\ntype = 'null'"),
        "text:3: `sinks.a.filter` is 'debug', beside `level`; allowed is one of the two"
    );
}

#[test]
fn what_is_no_toml_or_json_is_told_with_line_and_column() {
    let toml = Config::from_toml("lanes = 2\nname = \"checkout").expect_err("no quote");
    assert!(toml.to_string().starts_with("text:2:"), "{toml}");
    assert!(toml.to_string().contains(": not TOML: ") && toml.source().is_none(), "{toml}");
    assert!(!toml.to_string().contains('\n'), "{toml}");
    let json = Config::from_json("{\n  \"lanes\": 2,\n  \"name\": }").expect_err("no value");
    assert_eq!(json.to_string(), "text:3:11: not JSON: expected value");
    assert!(json.source().is_none() && json.key().is_none());
    assert!(Config::from_json("").expect_err("empty").to_string().starts_with("text:1:1: not JSON: "));
    let twice = Config::from_json("{ \"lanes\": 2, \"lanes\": 3 }").expect_err("twice");
    assert!(twice.to_string().starts_with("text:1:"), "{twice}");
    assert!(twice.to_string().contains("the key `lanes` is there twice"), "{twice}");
    assert!(refused("lanes = 1\nlanes = 2").starts_with("text:2:1: not TOML: "));
}

#[test]
fn a_wrong_value_in_json_is_named_too() {
    let error =
        from_json(&json!({ "sinks": { "a": { "type": "file", "path": "x", "timeout": 5 } } })).expect_err("no unit");
    assert_eq!(error.to_string(), format!("text: `sinks.a.timeout` is 5; allowed is {SECOND}"));
    let root = Config::from_json("[]").expect_err("a list");
    assert!(root.to_string().starts_with("text: `configuration` is a list; allowed is a table of `name`"), "{root}");
}

#[test]
fn a_null_in_json_is_as_if_the_key_were_absent() {
    let sinks = json!({ "a": { "type": "null", "retry": null, "level": "info", "filter": null }, "b": null });
    let config = from_json(&json!({ "name": null, "filter": null, "level": "info", "sinks": sinks })).unwrap();
    let logger = config.builder(&SinkRegistry::new()).unwrap().start().unwrap();
    assert_eq!(logger.stats().sinks.len(), 1);
    let error = from_json(&json!({ "redact": ["password", null] })).expect_err("no name");
    assert_eq!(error.to_string(), "text: `redact[1]` is null; allowed is text");
}

#[test]
fn a_file_that_cannot_be_read_or_is_of_another_kind_is_named() {
    let folder = folder("errors");
    let missing = Config::from_file(folder.join("missing.toml")).expect_err("no file");
    assert!(missing.to_string() == format!("{}: cannot be read", folder.join("missing.toml").display()));
    let source = missing.source().and_then(|source| source.downcast_ref::<io::Error>()).expect("the system's error");
    assert_eq!(source.kind(), io::ErrorKind::NotFound);

    let yaml = Config::from_file(folder.join("logweir.yaml")).expect_err("YAML");
    assert!(
        yaml.to_string().ends_with("logweir.yaml: the name of a configuration ends in `.toml` or `.json`"),
        "{yaml}"
    );

    let path = folder.join("Logweir.TOML");
    fs::write(&path, "# comment\r\ngrace_period = 5\r\n").unwrap();
    let value = Config::from_file(&path).expect_err("no unit");
    assert_eq!(value.to_string(), format!("{}:2: `grace_period` is 5; allowed is {SECOND}", path.display()));
}

/// The lines of the README are what a program prints whose `main` returns the error.
#[test]
fn the_readme_shows_errors_as_they_are_printed() {
    let readme = include_str!("../../../README.md");
    let path = folder("readme").join("logweir.toml");
    let written = |text: &str| {
        fs::write(&path, text).unwrap();
        Config::from_file(&path).map(drop).expect_err(text)
    };
    let mut file = "\n".repeat(6) + "[sinks.file]\n";
    file += "rolling = { max_bytes = \"lots\" }\ntype = 'file'\npath = 'a.log'";
    let sinks = SinkRegistry::new().register("queue", |_: Queue| Ok::<_, io::Error>(logweir::sink::NullSink));
    let variable = [("LOGWEIR__SINKS__QUEUE__TOKEN", "hunter2")];
    let config = Config::from_toml("sinks.queue.type = 'queue'").unwrap().with_vars(variable).unwrap();
    for error in [
        written(&file),
        written("\n\nfilter = \"info,my-crate=debug\""),
        config.builder(&sinks).map(drop).expect_err("no number"),
    ] {
        let printed = format!("Error: {error:?}\n").replace(path.to_str().unwrap(), "logweir.toml");
        assert!(readme.contains(&printed), "{printed}");
    }
}

#[derive(serde::Deserialize)]
struct Queue {
    #[serde(rename = "token")]
    _token: u64,
}

#[test]
fn a_byte_order_mark_at_the_beginning_is_passed_over() {
    assert!(Config::from_toml("\u{feff}lanes = 2").is_ok());
    assert!(Config::from_json("\u{feff}{ \"lanes\": 2 }").is_ok());
}

#[test]
fn a_long_value_is_cut_and_what_drives_a_terminal_is_not_shown() {
    let long = refused(&format!("grace_period = \"{}\"", "x".repeat(1000)));
    assert!(long.len() < 250 && long.contains("xxx…; allowed"), "{long}");
    let escape = from_json(&json!({ "grace_period": "\u{1b}[2J\n" })).expect_err("no duration").to_string();
    assert!(!escape.contains(char::is_control), "{escape:?}");
}

#[test]
fn what_the_builder_refuses_is_named_with_the_place_where_it_is_written() {
    let refused =
        |text: &str| Config::from_toml(text).unwrap().builder(&SinkRegistry::new()).map(drop).expect_err(text);
    let sink = "\nsinks.a = { type = 'null' }";
    for (text, key, said) in [
        ("lanes = 0", "lanes", "text:1: `lanes` is 0; allowed is 1 to 64"),
        (
            "name = 'x'\nflush_interval = '0s'",
            "flush_interval",
            "text:2: `flush_interval` is 0ns; allowed is 1ms to 3600s",
        ),
        ("redact = ['a*b']", "redact", "text:1: `redact` is `a*b`; allowed is a name, with `*` at its beginning"),
        ("queue_capacity = 9_000_000", "queue_capacity", "text:1: `queue_capacity` is 9000000; allowed is at most"),
    ] {
        let error = refused(&format!("{text}{sink}"));
        assert_eq!(error.key().as_deref(), Some(key));
        assert!(error.to_string().starts_with(said), "{error}");
        // It has all of the builder's words, so those are no source too.
        assert!(error.source().is_none(), "{error:?}");
        // Without a sink yet, too.
        assert_eq!(refused(text).key().as_deref(), Some(key));
    }
    let error = refused("[sinks.b]\ntype = 'null'\n[sinks.a]\ntype = 'null'\ntimeout = '0s'");
    assert_eq!(error.to_string(), "text:5: `sinks.a.timeout` is 0 (sink `a`); allowed is more than zero");
    let fallback = "[sinks.a]\ntype = 'null'\n[sinks.a.fallback]\ntype = 'null'\ntimeout = '0s'";
    assert!(refused(fallback).to_string().contains("`sinks.a.timeout` is 0 (sink `a: fallback`); "));
}

/// What is not written in it stays the builder's affair.
#[test]
fn knobs_that_are_not_written_are_left_to_the_builder() {
    let small = Config::from_toml("memory_limit = '1MiB'\nsinks.a.type = 'null'").unwrap();
    let error: BuildError =
        small.builder(&SinkRegistry::new()).unwrap().start().expect_err("lanes of the default size");
    assert_eq!(error.option(), Some("queue_capacity"));
    assert!(small.builder(&SinkRegistry::new()).unwrap().queue_capacity(100).max_event_bytes(1024).start().is_ok());
    let empty = Config::default().builder(&SinkRegistry::new()).unwrap().start().expect_err("no sink");
    assert_eq!(empty.option(), Some("sink"));
}

#[test]
fn the_rules_of_rolling_are_read_and_their_sense_is_left_to_the_sink() {
    let rolling = |keys: &str| format!("sinks.a = {{ type = 'file', path = 'x', rolling = {{ {keys} }} }}");
    let neither = "text:1: `sinks.a.rolling` is a table: it needs `every`, `max_bytes` or both";
    assert_eq!(refused(&rolling("keep_files = 3")), neither);
    let every = "text:1: `sinks.a.rolling.every` is 'week'; allowed is `minute`, `hour` or `day`";
    assert_eq!(refused(&rolling("every = 'week'")), every);
    assert!(
        refused(&rolling("every = 'day', keep_age = 14"))
            .starts_with("text:1: `sinks.a.rolling.keep_age` is 14; allowed")
    );
    let config = Config::from_toml(&rolling("every = 'hour', file_name = 'no.log'")).unwrap();
    let error = config.builder(&SinkRegistry::new()).unwrap().start().expect_err("no place for the date");
    let error = format!("{error:?}");
    assert!(error.starts_with("cannot start logger: sink `a`: ") && error.contains("file_name"), "{error}");
}

#[cfg(not(feature = "gzip"))]
#[test]
fn compression_names_its_feature_only_where_it_is_switched_on() {
    let gzip =
        |is_on| format!("sinks.a = {{ type = 'file', path = 'x', rolling = {{ every = 'day', gzip = {is_on} }} }}");
    assert!(Config::from_toml(&gzip(false)).is_ok());
    assert_eq!(refused(&gzip(true)), "text:1: `sinks.a.rolling.gzip` is true: it needs logweir's feature `gzip`");
}

#[cfg(not(feature = "pretty"))]
#[test]
fn the_pretty_format_names_its_feature() {
    let said = "text:1: `sinks.a.format` is 'pretty': it needs logweir's feature `pretty`";
    assert_eq!(refused("sinks.a = { type = 'console', format = 'pretty' }"), said);
}

#[cfg(not(feature = "prometheus"))]
#[test]
fn a_key_whose_feature_is_off_names_the_feature() {
    let said = "text:1: `prometheus` is '127.0.0.1:0': it needs logweir's feature `prometheus`";
    assert_eq!(refused("prometheus = '127.0.0.1:0'"), said);
}

/// Every value of the example in turn is replaced by a table, by a list and by a word.
#[test]
fn whatever_key_is_wrong_the_error_names_it_with_its_value() {
    let whole = buildable_example();
    let mut refusals = 0;
    for path in leaves(&whole, "") {
        for (wrong, shown) in [(json!({ "zzz": [] }), "a table"), (json!([[]]), "a list"), (json!("\t"), "\"\\t\"")] {
            let mut broken = whole.clone();
            *broken.pointer_mut(&path).unwrap() = wrong;
            let Err(error) = from_json(&broken) else { continue };
            refusals += 1;
            let (key, expected) = (error.key().unwrap(), path[1..].replace('/', "."));
            assert!(key.starts_with(&expected), "{path}: {error}");
            let said = format!("{error:?}");
            let is_named = said.contains(&format!("`{key}` is {shown}")) || key != expected;
            assert!(is_named, "{path}: {said}");
            assert!(said.contains("allowed") || said.contains("missing") || said.contains("directive"), "{said}");
        }
    }
    assert!(refusals > 80, "only {refusals}");
}

fn leaves(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(entries) => {
            entries.iter().flat_map(|(key, value)| leaves(value, &format!("{path}/{key}"))).collect()
        }
        _ => vec![path.to_owned()],
    }
}

#[test]
fn a_type_that_nobody_registered_is_told_when_a_builder_is_made() {
    let config = Config::from_toml("[sinks.a]\ntype = 'fiel'\npath = 'x'").unwrap();
    let sinks = SinkRegistry::new().register("kafka", |(): ()| Ok::<_, io::Error>(logweir::sink::NullSink));
    let said =
        "text:2: `sinks.a.type` is 'fiel' (did you mean `file`?); allowed is `console`, `file`, `null` or `kafka`";
    assert_eq!(unbuilt(&config, &sinks).to_string(), said);
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        drop((Config::from_toml(&text), Config::from_json(&text)));
        let as_value = serde_json::to_string(&text).unwrap();
        for key in ["name", "grace_period", "memory_limit", "filter", "flush_at", "overflow", "notice_interval"] {
            if let Err(error) = Config::from_json(&format!("{{\"{key}\": {as_value}}}")) {
                prop_assert_eq!(error.key(), Some(key.to_owned()), "{}", error);
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }
    }

    #[test]
    fn no_damage_to_the_example_makes_it_panic(at in 0..10_000_usize, len in 0..40_usize, text in "[\\PC\n]{0,12}") {
        let mut damaged: Vec<char> = whole_example().chars().collect();
        let at = at % damaged.len();
        let end = (at + len).min(damaged.len());
        damaged.splice(at..end, text.chars());
        let damaged: String = damaged.into_iter().collect();
        if let Err(error) = Config::from_toml(&damaged) {
            prop_assert!(error.to_string().starts_with("text"), "{}", error);
            prop_assert!(error.line().is_some_and(|line| line <= damaged.lines().count() + 1), "{}", error);
        }
    }
}

/// Whoever prints an error in another form prints no more of the file.
#[test]
fn an_error_holds_nothing_of_the_text_but_the_value_that_is_wrong() {
    for text in ["password = \"hunter2\"\nx = = 1", "password = \"hunter2", "password = hunter2"] {
        let error = Config::from_toml(text).expect_err(text);
        assert!(error.source().is_none());
        let all = format!("{error} {error:?}");
        assert!(!all.contains("hunter2"), "{all}");
    }
}
