//! What an error of a configuration never shows: a value that may be a secret.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::str::FromStr;

use logweir::config::{Config, ConfigError, HumanDuration, SinkRegistry};
use logweir::sink::NullSink;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::refused;

/// In every secret below, and in no error.
const SECRET: &str = "hunter2";

/// An error in every form in which it is printed.
fn printed(error: &ConfigError) -> String {
    let mut text = format!("{error} {error:?} {error:#?} {:?}", error.key());
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, " {cause} {cause:?}").unwrap();
        source = cause.source();
    }
    text
}

/// An address whose type repeats in its error what it was given, as many types do.
#[derive(Debug)]
struct Address;

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.rsplit(':').next().unwrap_or_default();
        Err(format!("invalid port `{port}` in \"{text}\""))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ack {
    All,
    None,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "what is read is not the point")]
struct Options {
    topic: Option<u64>,
    address: Option<Address>,
    ack: Option<Ack>,
    linger: Option<HumanDuration>,
    api_key: Option<u64>,
    db_password: Option<Vec<u64>>,
    auth: Option<Nested>,
    list: Option<Vec<u64>>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "what is read is not the point")]
struct Nested {
    user: u64,
}

fn sinks() -> SinkRegistry {
    SinkRegistry::new().register("queue", |_: Options| Ok::<_, io::Error>(NullSink))
}

/// The error for an option of a registered sink, written in a file and in a variable.
fn errors(sinks: &SinkRegistry, key: &str, value: &str) -> [ConfigError; 2] {
    let written = format!("[sinks.q]\ntype = 'queue'\n{key} = {value}");
    let file = Config::from_toml(&written).and_then(|config| config.builder(sinks).map(drop));
    let name = format!("LOGWEIR__SINKS__Q__{}", key.to_uppercase().replace('.', "__"));
    let bare = Config::from_toml("sinks.q.type = 'queue'").unwrap().with_vars([(name, value.trim_matches('\''))]);
    let variable = bare.and_then(|config| config.builder(sinks).map(drop));
    [file, variable].map(|result| result.expect_err(key))
}

#[test]
fn an_error_in_an_option_of_a_registered_sink_names_place_key_and_what_is_allowed_without_the_value() {
    for (key, value, said) in [
        ("topic", "'hunter2'", "is a text of 7 characters; allowed is a whole number, not below 0"),
        ("ack", "'hunter2'", "is a text of 7 characters; allowed is `all` or `none`"),
        ("linger", "'hunter2'", "is a text of 7 characters; allowed is a duration with its unit"),
        ("address", "'db:hunter2'", "is a text of 10 characters: invalid port `***` in \"***\""),
        ("api_key", "'hunter2'", "is ***; allowed is a whole number, not below 0"),
        ("db_password", "['hunter2']", "is ***; allowed is a whole number"),
        ("auth.user", "'hunter2'", "is ***; allowed is a whole number"),
        ("list", "'hunter2'", "is a text of 7 characters; allowed is a list"),
        ("tokn", "'hunter2'", "unknown key `sinks.q.tokn`"),
    ] {
        for error in errors(&sinks(), key, value) {
            let text = printed(&error);
            assert!(!text.contains(SECRET), "{text}");
            assert!(text.contains(said), "{text}");
            assert!(text.contains(&format!("`sinks.q.{key}")), "{text}");
        }
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_sensitive_option_shows_nothing_of_its_value_and_nothing_that_its_type_says() {
    use logweir::Sensitive;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "what is read is not the point")]
    struct Hidden {
        number: Option<Sensitive<u64>>,
        inside: Sensitive<Option<u64>>,
        address: Option<Sensitive<Address>>,
        nested: Option<Sensitive<Nested>>,
        list: Option<Vec<Sensitive<u64>>>,
        flag: Option<Sensitive<bool>>,
        word: Option<Sensitive<Ack>>,
    }
    let sinks = SinkRegistry::new().register("queue", |_: Hidden| Ok::<_, io::Error>(NullSink));
    for (key, value, said) in [
        ("number", "'hunter2'", "`sinks.q.number` is ***; allowed is a whole number, not below 0"),
        ("inside", "'hunter2'", "`sinks.q.inside` is ***; allowed is a whole number, not below 0"),
        ("address", "'db:hunter2'", "`sinks.q.address` is ***: its type does not accept it"),
        ("nested.user", "'hunter2'", "`sinks.q.nested.user` is ***; allowed is a whole number, not below 0"),
        ("list", "['hunter2']", "`sinks.q.list[0]` is ***; allowed is a whole number, not below 0"),
        ("flag", "'hunter2'", "`sinks.q.flag` is ***; allowed is `true` or `false`"),
        ("word", "'hunter2'", "`sinks.q.word` is ***; allowed is `all` or `none`"),
    ] {
        for error in errors(&sinks, key, value) {
            let text = printed(&error);
            assert!(!text.contains(SECRET) && text.contains(said), "{text}");
        }
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_sensitive_value_is_read_whatever_passes_it_on() {
    use logweir::Sensitive;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(untagged)]
    enum Either {
        Number { number: Sensitive<u64> },
        Text { text: Sensitive<String> },
    }
    #[derive(Debug, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        more: Either,
    }
    let number: Flat = serde_json::from_str(r#"{ "number": 7 }"#).unwrap();
    assert_eq!(number.more, Either::Number { number: Sensitive::new(7) });
    let text: Flat = toml::from_str("text = 'hunter2'").unwrap();
    assert_eq!(text.more, Either::Text { text: Sensitive::new("hunter2".to_owned()) });
    // Of any other format, the error does not show the value either.
    let errors = [
        serde_json::from_str::<Sensitive<u64>>("\"hunter2\"").map(drop).expect_err("no number").to_string(),
        serde_json::from_str::<Sensitive<Vec<u64>>>("[1, \"hunter2\"]").map(drop).expect_err("no number").to_string(),
        serde_json::from_str::<Sensitive<Address>>("\"db:hunter2\"").map(drop).expect_err("no address").to_string(),
    ];
    for error in errors {
        assert!(error.starts_with("the value of a sensitive field is invalid"), "{error}");
    }
    let word: de::value::StrDeserializer<'_, de::value::Error> = de::IntoDeserializer::into_deserializer("hunter2");
    assert_eq!(Sensitive::<String>::deserialize(word).unwrap().expose(), "hunter2");
}

#[test]
fn an_error_in_an_option_of_a_flattened_type_shows_no_value_of_the_table() {
    #[derive(Debug, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        _more: More,
    }
    #[derive(Debug, Deserialize)]
    struct More {
        #[serde(rename = "port")]
        _port: Option<u16>,
        #[serde(rename = "address")]
        _address: Option<Address>,
        #[serde(rename = "ack")]
        _ack: Option<Ack>,
    }
    let sinks = SinkRegistry::new().register("flat", |_: Flat| Ok::<_, io::Error>(NullSink));
    for options in [
        "port = 'hunter2'",
        "port = ['a', { b = 'x hunter2 \"y\"' }]",
        "address = 'db:hunter2'",
        "host = 'db'\naddress = 'db: \"hunter2\"'",
        "ack = 'hunter2'",
    ] {
        let config = Config::from_toml(&format!("[sinks.a]\ntype = 'flat'\n{options}")).unwrap();
        let error = config.builder(&sinks).map(drop).expect_err(options);
        assert!(!printed(&error).contains(SECRET), "{options}: {error}");
        assert_eq!(error.key().as_deref(), Some("sinks.a"), "{options}: {error}");
    }
}

#[test]
fn a_value_under_a_wrong_key_or_in_a_wrong_place_is_not_shown() {
    for text in [
        "tokn = 'hunter2'",
        "sinks.token = 'hunter2'",
        "[sinks.a]\ntype = 'null'\npasword = 'hunter2'",
        "[sinks.a]\ntype = 'console'\nformat = { type = 'text', sercet = 'hunter2' }",
        "[sinks.a]\ntype = 'null'\nfallback = 'hunter2'",
        "enrich.password = ['hunter2']",
        "prometheus = 'http://ada:hunter2@127.0.0.1:9464'",
        "grace_period = 'amqp://:hunter2@mq'",
        "password = hunter2",
        "password = 'hunter2",
        "password = \"hunter2\\q\"",
        "password = 7hunter2",
        "a = 'hunter2' 'hunter2'",
        "a = { b = 'hunter2'\n",
        "a = 1\na = 'hunter2'",
    ] {
        let error = Config::from_toml(text).map(drop).expect_err(text);
        let text = printed(&error);
        assert!(!text.contains(SECRET), "{text}");
    }
    for text in [
        r#"{ "password": hunter2 }"#,
        r#"{ "password": "hunter2"#,
        r#"{ "password": "hunter2", "password": "hunter2" }"#,
        r#"["hunter2"]"#,
        r#""hunter2""#,
    ] {
        let error = Config::from_json(text).map(drop).expect_err(text);
        let text = printed(&error);
        assert!(!text.contains(SECRET), "{text}");
    }
    for variable in [
        ("LOGWEIR__SINKS__A__PASSWRD", "hunter2"),
        ("LOGWEIR__TOKEN", "hunter2"),
        ("LOGWEIR__SINKS__NEW__TOKEN", "hunter2"),
        ("LOGWEIR__PROMETHEUS", "http://ada:hunter2@127.0.0.1:9464"),
    ] {
        let error = Config::from_toml("sinks.a.type = 'null'").unwrap().with_vars([variable]).expect_err(variable.0);
        let text = printed(&error);
        assert!(!text.contains(SECRET) && text.contains(variable.0), "{text}");
    }
}

#[test]
fn a_url_keeps_its_host_and_loses_its_user_and_password() {
    let error = refused("prometheus = 'http://ada:hunter2@metrics:9464'");
    assert!(
        error.starts_with("text:1: `prometheus` is 'http://***@metrics:9464'; allowed is an IP address"),
        "{error}"
    );
    let make = |(): ()| Err::<NullSink, _>(io::Error::other("cannot reach amqp://ada:hunter2@mq:5672/"));
    let sinks = SinkRegistry::new().register("queue", make);
    let error = Config::from_toml("sinks.q.type = 'queue'").unwrap().builder(&sinks).map(drop).expect_err("no broker");
    assert_eq!(format!("{error:?}"), "text:1: `sinks.q` cannot be created: cannot reach amqp://***@mq:5672/");
}

#[test]
fn what_is_printed_for_debugging_has_no_secret() {
    let text = "name = 'shop'\nenrich.api_key = 'hunter2'\nsinks.q = { type = 'queue', password = 'hunter2' }";
    let config = Config::from_toml(text).unwrap();
    let printed = format!("{config:?} {:#?} {:?}", config, sinks());
    assert!(printed.contains("shop") && printed.contains("api_key") && !printed.contains(SECRET), "{printed}");
}

/// An application's own configuration passes the whole error on, in one message.
#[test]
fn an_error_in_a_configuration_of_ones_own_has_its_causes_and_no_secret() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is not read")]
    struct Application {
        logging: Config,
    }
    let json = |logging: &str| {
        let text = format!("{{ \"logging\": {logging} }}");
        serde_json::from_str::<Application>(&text).map(drop).expect_err(logging).to_string()
    };
    let filter = json(r#"{ "filter": "warning" }"#);
    assert!(filter.contains("`filter` is \"warning\": filter directive `warning`"), "{filter}");
    let unknown = json(r#"{ "sinks": { "a": { "type": "null", "tokn": "hunter2" } } }"#);
    assert!(unknown.contains("unknown key `sinks.a.tokn`") && !unknown.contains(SECRET), "{unknown}");
}
