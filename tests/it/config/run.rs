//! From a file on disk to lines in a file.

use std::error::Error;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logweir::config::{Config, FormatOptions, HumanDuration, HumanSize, SinkRegistry};
use logweir::sink::{MemorySink, NullSink};
use logweir::{Pipeline, error, info, warn};
use serde::Deserialize;
use serde_json::json;

use super::{folder, unbuilt};
use crate::support::{Answer, PATIENCE, ScriptedSink};

#[derive(Debug, Deserialize)]
struct Queue {
    topic: String,
    linger: Option<HumanDuration>,
    most: Option<HumanSize>,
    format: Option<FormatOptions>,
    #[serde(default)]
    brokers: Vec<Broker>,
    ack: Option<Ack>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Broker {
    Local,
    Host(String),
    Pair { host: String, port: u16 },
}

#[derive(Debug, Deserialize, PartialEq)]
struct Ack(bool);

#[test]
fn a_file_on_disk_becomes_lines_in_a_file() {
    let folder = folder("run");
    let (path, log) = (folder.join("logweir.toml"), folder.join("logs/app.json"));
    let text = format!(
        "name = 'checkout'
         filter = 'info,noisy=off'
         redact = ['password']
         enrich.service = 'checkout'
         [sinks.file]
         type = 'file'
         path = {log:?}
         durability = 'sync_on_flush'
         mode = '0600'
         format = 'json'
         [sinks.errors]
         type = 'file'
         path = {:?}
         level = 'error'",
        folder.join("errors.log")
    );
    fs::write(&path, text).unwrap();
    let config = Config::from_file(&path)
        .unwrap()
        .with_vars([("LOGWEIR__ENRICH__SHARD", "7"), ("LOGWEIR__ENRICH", "{ service = 'checkout', zone = 3 }")])
        .unwrap();
    let logger = config.builder(&SinkRegistry::new()).unwrap().start().unwrap();
    info!(logger: logger, "user {user} logged in", user = "ada", password = "hunter2");
    error!(logger: logger, "broken");
    logweir::info!(logger: logger, target: "noisy", "not this");
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    assert_eq!(report.sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(), ["file", "errors"]);

    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&log).unwrap().permissions()) & 0o777, 0o600);
    let lines: Vec<serde_json::Value> =
        fs::read_to_string(log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let fields = ["message", "password", "service", "zone", "shard"].map(|field| lines[0][field].clone());
    assert_eq!(fields, [json!("user ada logged in"), json!("***"), json!("checkout"), json!(3), json!("7")]);
    let errors = fs::read_to_string(folder.join("errors.log")).unwrap();
    assert!(errors.lines().count() == 1 && errors.contains("broken"), "{errors}");
}

#[test]
fn sinks_keep_the_order_they_are_written_in() {
    for config in [
        Config::from_toml("[sinks.c]\ntype = 'null'\n[sinks.a]\ntype = 'null'\n[sinks.b]\ntype = 'null'"),
        Config::from_toml("sinks.c.type = 'null'\nsinks.a.type = 'null'\nsinks.b.type = 'null'"),
        Config::from_json(
            r#"{ "sinks": { "c": { "type": "null" }, "a": { "type": "null" }, "b": { "type": "null" } } }"#,
        ),
    ] {
        let logger = config.unwrap().builder(&SinkRegistry::new()).unwrap().start().unwrap();
        let report = logger.shutdown_blocking(PATIENCE).unwrap();
        assert_eq!(report.sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(), ["c", "a", "b"]);
    }
}

#[test]
fn options_of_formats_and_rules_of_rolling_reach_the_file() {
    let folder = folder("rolling");
    let text = format!(
        "[sinks.json]
         type = 'file'
         path = {:?}
         format = {{ type = 'json', dotted = 'nested', keys = {{ timestamp = false, message = 'msg', module = 'module' }} }}
         rolling = {{ max_bytes = 1, keep_files = 2, file_name = 'part-{{seq}}-of-{{date}}.json', close_timeout = '20s' }}
         [sinks.clef]
         type = 'file'
         path = {:?}
         format = {{ type = 'clef', message = 'rendered' }}",
        folder.join("json/app.json"),
        folder.join("app.clef"),
    );
    let logger = Config::from_toml(&text).unwrap().builder(&SinkRegistry::new()).unwrap().start().unwrap();
    for n in 1..=3 {
        info!(logger: logger, "number {n}", n, http.status = 200);
    }
    drop(logger.shutdown_blocking(PATIENCE).unwrap());

    let files = fs::read_dir(folder.join("json")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.filter(|name| name.starts_with("part-")).collect();
    files.sort();
    assert!(files.len() == 2 && files[0].starts_with("part-0002-of-"), "{files:?}");
    let last: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("json").join(&files[1])).unwrap()).unwrap();
    let module = "it::config::run";
    let line = json!({ "level": "INFO", "target": module, "module": module, "msg": "number 3", "n": 3, "http": { "status": 200 } });
    assert_eq!(last, line);
    let clef = fs::read_to_string(folder.join("app.clef")).unwrap();
    assert!(clef.contains("\"@m\":\"number 3\"") && !clef.contains("@mt"), "{clef}");
}

#[cfg(feature = "gzip")]
#[test]
fn files_are_compressed_where_that_is_switched_on() {
    let names = |gzip: bool| {
        let folder = folder(&format!("gzip-{gzip}"));
        let path = folder.join("app.log");
        let rolling = format!("{{ max_bytes = 1, gzip = {gzip}, close_timeout = '20s' }}");
        let text = format!("sinks.a = {{ type = 'file', path = {path:?}, rolling = {rolling} }}");
        let logger = Config::from_toml(&text).unwrap().builder(&SinkRegistry::new()).unwrap().start().unwrap();
        (0..2).for_each(|n| info!(logger: logger, "number {n}", n));
        drop(logger.shutdown_blocking(PATIENCE).unwrap());
        let names = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|ending| ending == "gz")).count()
    };
    assert_eq!((names(true), names(false)), (1, 0));
}

#[test]
fn a_fallback_takes_what_the_sink_does_not() {
    let log = folder("fallback").join("fallback.log");
    let text = format!(
        "[sinks.broken]
         type = 'broken'
         retry = 'never'
         timeout = '2s'
         fallback = {{ type = 'file', path = {log:?}, fallback = {{ type = 'null' }} }}"
    );
    let broken = ScriptedSink::always(Answer::Permanent);
    let sinks = SinkRegistry::new().register("broken", move |(): ()| Ok::<_, io::Error>(broken.clone()));
    let logger = Config::from_toml(&text).unwrap().builder(&sinks).unwrap().on_error(|_| {}).start().unwrap();
    warn!(logger: logger, "saved");
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    assert_eq!(report.sink("broken").map(|sink| (sink.delivered, sink.delivered_by_fallback)), Some((0, 1)));
    assert_eq!(fs::read_to_string(log).unwrap().matches(": saved\n").count(), 1);
}

#[test]
fn policies_of_a_file_reach_the_pipeline() {
    let text = "
        sinks.queue = { type = 'queue', retry = { initial_delay = '1ms', max_delay = '1ms', max_attempts = 3 }, breaker = 'never' }
    ";
    let failing = ScriptedSink::always(Answer::Temporary);
    let script = failing.clone();
    let sinks = SinkRegistry::new().register("queue", move |(): ()| Ok::<_, io::Error>(script.clone()));
    let logger = Config::from_toml(text).unwrap().builder(&sinks).unwrap().on_error(|_| {}).start().unwrap();
    info!(logger: logger, "0");
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    let errors = report.sink("queue").map(|sink| sink.errors);
    assert_eq!((failing.attempted().len(), errors), (3, Some(3)));
}

#[test]
fn a_registered_sink_is_given_its_options_and_the_pipeline_keys_are_set_on_what_it_returns() {
    let text = "
        [sinks.orders]
        type = 'queue'
        level = 'warn'
        topic = 'orders'
        linger = '5ms'
        most = '1MiB'
        format = { colors = true, type = 'text' }
        brokers = ['local', { host = 'a' }, { pair = { host = 'b', port = 9092 } }]
        ack = true
    ";
    let (given, memory) = (Arc::new(Mutex::new(None)), MemorySink::new());
    let (seen, sink) = (given.clone(), memory.clone());
    let sinks = SinkRegistry::new().register("queue", move |options: Queue| {
        *seen.lock().unwrap() = Some(options);
        Ok::<_, io::Error>(Pipeline::new(sink.clone()).timeout(Duration::from_secs(1)))
    });
    let logger = Config::from_toml(text).unwrap().builder(&sinks).unwrap().start().unwrap();
    info!(logger: logger, "below the level");
    warn!(logger: logger, "through");
    drop(logger.shutdown_blocking(PATIENCE).unwrap());
    assert_eq!(memory.events().iter().map(|event| event.message().to_owned()).collect::<Vec<_>>(), ["through"]);

    let options = given.lock().unwrap().take().unwrap();
    assert_eq!((options.topic.as_str(), options.linger), ("orders", Some(HumanDuration(Duration::from_millis(5)))));
    assert_eq!((options.most, options.ack), (Some(HumanSize(1 << 20)), Some(Ack(true))));
    let pair = Broker::Pair { host: "b".into(), port: 9092 };
    assert_eq!(options.brokers, [Broker::Local, Broker::Host("a".into()), pair]);
    assert!(options.format.is_some());
}

#[test]
fn options_that_a_registered_sink_does_not_take_are_named_like_any_other_key() {
    let sinks = || SinkRegistry::new().register("queue", |_: Queue| Ok::<_, io::Error>(NullSink));
    let said = |options: &str| {
        let config = Config::from_toml(&format!("[sinks.q]\ntype = 'queue'\n{options}")).unwrap();
        unbuilt(&config, &sinks()).to_string()
    };
    assert_eq!(said(""), "text:1: `sinks.q.topic` is missing");
    assert_eq!(said("topic = 7"), "text:3: `sinks.q.topic` is a whole number; allowed is text");
    let unknown = said("topic = 'a'\ntimout = '5s'");
    assert!(unknown.starts_with("text:4: unknown key `sinks.q.timout` (did you mean `timeout`?)"), "{unknown}");
    let nested = said("topic = 'a'\nbrokers = ['local', { pair = { host = 'b', port = 99999 } }]");
    assert_eq!(
        nested,
        "text:4: `sinks.q.brokers[1].pair.port` is a whole number; allowed is a whole number from 0 to 65535"
    );
    let variant = said("topic = 'a'\nbrokers = ['remote']");
    assert_eq!(variant, "text:4: `sinks.q.brokers[0]` is a text of 6 characters; allowed is `local`, `host` or `pair`");
    let value = said("topic = 'a'\nbrokers = ['pair']");
    let expected = "text:4: `sinks.q.brokers[0]` is a text of 4 characters; allowed is a table with this key, and a value behind it";
    assert_eq!(value, expected);
    let none = SinkRegistry::new().register("queue", |(): ()| Ok::<_, io::Error>(NullSink));
    let config = Config::from_toml("[sinks.q]\ntype = 'queue'\ntopic = 'a'").unwrap();
    assert!(unbuilt(&config, &none).to_string().starts_with("text:3: unknown key `sinks.q.topic`"));
}

#[test]
fn a_sink_that_cannot_be_made_is_named_and_its_error_kept() {
    let config = Config::from_toml("sinks.q.type = 'null'\nsinks.q.fallback.type = 'queue'").unwrap();
    let refuse = |(): ()| Err::<NullSink, _>(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens"));
    let error = unbuilt(&config, &SinkRegistry::new().register("queue", refuse));
    assert_eq!(error.to_string(), "text:2: `sinks.q.fallback` cannot be created");
    assert_eq!(format!("{error:?}"), "text:2: `sinks.q.fallback` cannot be created: nobody listens");
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
}

#[test]
fn a_name_is_registered_once_and_none_that_is_built_in() {
    let make = |(): ()| Ok::<_, io::Error>(NullSink);
    for sinks in
        [SinkRegistry::new().register("file", make), SinkRegistry::new().register("a", make).register("a", make)]
    {
        let error = unbuilt(&Config::default(), &sinks).to_string();
        assert!(error.starts_with("a sink cannot be registered as `"), "{error}");
    }
}

#[test]
fn a_configuration_and_what_is_wrong_with_it_go_from_thread_to_thread() {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<Config>();
    travels::<SinkRegistry>();
    travels::<logweir::config::ConfigError>();
}

#[test]
fn a_configuration_builds_as_many_loggers_as_are_asked_of_it() {
    let config = Config::from_toml("sinks.a.type = 'null'").unwrap();
    for _ in 0..2 {
        let logger = config.clone().builder(&SinkRegistry::new()).unwrap().start().unwrap();
        drop(logger.shutdown_blocking(PATIENCE).unwrap());
    }
}

#[test]
fn it_is_part_of_an_applications_own_configuration_with_the_same_errors() {
    #[derive(Debug, Deserialize)]
    struct Application {
        workers: usize,
        logging: Config,
    }
    let text =
        "workers = 4\n[logging]\nfilter = 'warn'\n[logging.sinks.b]\ntype = 'null'\n[logging.sinks.a]\ntype = 'null'\n";
    let application: Application = toml::from_str(text).unwrap();
    let config = application.logging.with_vars([("LOGWEIR__NAME", "shop")]).unwrap();
    assert!(application.workers == 4 && config.builder(&SinkRegistry::new()).is_ok());

    let wrong = toml::from_str::<Application>(&format!("{text}timeout = 5\n")).expect_err("no unit").to_string();
    assert!(wrong.contains("`sinks.a.timeout` is 5; allowed is a duration with its unit"), "{wrong}");
    let json = json!({ "workers": 4, "logging": { "flter": "info" } });
    let unknown = serde_json::from_value::<Application>(json).expect_err("a slip").to_string();
    assert!(unknown.starts_with("unknown key `flter` (did you mean `filter`?)"), "{unknown}");
}

#[test]
fn what_is_printed_for_debugging_has_no_options_of_registered_sinks() {
    let config = Config::from_toml("name = 'shop'\nsinks.q = { type = 'queue', password = 'hunter2' }").unwrap();
    let printed = format!("{config:?}");
    assert!(printed.contains("shop") && !printed.contains("hunter2"), "{printed}");
}

#[cfg(feature = "prometheus")]
#[test]
fn metrics_are_served_at_an_address_at_one_that_may_be_taken_or_not_at_all() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let start = |prometheus: &str| {
        let config = Config::from_toml(&format!("prometheus = {prometheus}\nsinks.a.type = 'null'")).unwrap();
        config.builder(&SinkRegistry::new()).unwrap().on_error(|_| {}).start()
    };
    for (prometheus, is_served) in [
        ("'127.0.0.1:0'".to_owned(), true),
        ("{ listen = '127.0.0.1:0' }".to_owned(), true),
        ("{ listen = '127.0.0.1:0', optional = true }".to_owned(), true),
        (format!("{{ listen = '{addr}', optional = true }}"), false),
        ("{ listen = 'never' }".to_owned(), false),
    ] {
        let logger = start(&prometheus).unwrap();
        assert_eq!(logger.prometheus_addr().is_some(), is_served, "{prometheus}");
        assert!(logger.render_metrics().is_some(), "{prometheus}");
        logger.shutdown_blocking(PATIENCE).unwrap().check().unwrap();
    }
    for taken in [format!("'{addr}'"), format!("{{ listen = '{addr}', optional = false }}")] {
        assert_eq!(start(&taken).unwrap_err().option(), Some("prometheus"), "{taken}");
    }
    for wrong in
        ["'never'", "9464", "{ optional = true }", "{ listen = 'here' }", "{ listen = '127.0.0.1:0', optional = 1 }"]
    {
        let error = Config::from_toml(&format!("prometheus = {wrong}")).unwrap_err();
        assert!(error.key().unwrap().starts_with("prometheus"), "{wrong}: {error}");
    }
}
