//! Whatever the builder offers that is no code can be configured. It is the source that says what it offers.

use logweir::config::Config;

use super::refused;

/// The methods that the source of a type offers, in `impl` blocks of the whole file.
fn methods(source: &str) -> Vec<&str> {
    let signatures = source.split("\n    pub fn ").skip(1).filter_map(|rest| rest.split_once([')', '{']));
    let named = signatures.filter(|(signature, _)| signature.contains("self")).map(|(signature, _)| signature);
    named.filter_map(|signature| signature.split(['(', '<']).next()).collect()
}

/// The variants of an enum, as a configuration spells them.
fn words(source: &str, name: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).unwrap_or_else(|| panic!("no {name}"));
    let (body, _) = body.split_once("\n}").expect("an end");
    let variant = |line: &str| Some(line.trim().split(['(', ',']).next()?.to_owned());
    let variants = body.lines().filter(|line| line.trim().starts_with(char::is_uppercase)).filter_map(variant);
    variants.map(|variant| snake_case(&variant)).collect()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// What a table takes, by its answer to a key it does not have.
fn keys(toml: &str) -> Vec<String> {
    let error = Config::from_toml(toml).expect_err(toml).to_string();
    let (_, allowed) = error.split_once("; allowed there: ").unwrap_or_else(|| panic!("{error}"));
    allowed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn assert_covered(source: &str, keys: &[String], code: &[&str]) {
    let methods = methods(source);
    assert!(methods.len() > 1, "{methods:?}");
    for method in methods {
        let is_key = keys.iter().any(|key| key == method);
        assert!(is_key != code.contains(&method), "`{method}` must be either a key of {keys:?} or code");
    }
}

#[test]
fn every_method_of_the_builder_is_a_key_or_code() {
    let keys = keys("zzz = 1");
    // `sinks` is what `sink` adds to.
    let code = ["on_pressure", "on_error", "enrich_with", "sink", "cancel_on", "metrics_recorder"];
    assert_covered(include_str!("../../../src/builder/mod.rs"), &keys, &code);
    assert!(keys.contains(&"sinks".to_owned()));
}

#[cfg(feature = "prometheus")]
#[test]
fn every_method_of_the_endpoint_of_the_metrics_is_a_key() {
    let keys = keys("prometheus = { listen = '127.0.0.1:0', zzz = 1 }");
    // `listen` is for `new` and `without_listener`.
    assert_eq!(keys, ["listen", "optional"]);
    let source = include_str!("../../../src/admin/prometheus.rs").replace("(mut self)", "(&self)");
    assert_eq!(methods(&source), ["optional"]);
}

#[test]
fn every_method_of_a_pipeline_and_of_its_policies_is_a_key_or_code() {
    let sink = |rest: &str| keys(&format!("sinks.a.type = 'null'\nsinks.a.{rest}zzz = 1"));
    assert_covered(include_str!("../../../src/pipeline/mod.rs"), &sink(""), &["on_breaker", "spool_store"]);
    let public = |source: &'static str| source.split("pub(super) struct").next().unwrap_or_default();
    assert_covered(public(include_str!("../../../src/pipeline/retry.rs")), &sink("retry."), &[]);
    let breaker = include_str!("../../../src/pipeline/breaker.rs");
    assert_covered(public(breaker), &sink("breaker."), &[]);
}

#[test]
fn every_method_of_a_sink_and_of_a_format_is_a_key() {
    let sink = |rest: &str| keys(&format!("sinks.a = {{ {rest}, zzz = 1 }}"));
    // `pretty` is a format.
    assert_covered(include_str!("../../../src/sink/console.rs"), &sink("type = 'console'"), &["pretty"]);
    assert_covered(include_str!("../../../src/sink/file/mod.rs"), &sink("type = 'file', path = 'x'"), &[]);
    let rolling = keys("sinks.a = { type = 'file', path = 'x', rolling = { every = 'day', zzz = 1 } }");
    assert_covered(include_str!("../../../src/sink/file/rolling.rs"), &rolling, &["clock"]);
    let format =
        |name: &str| keys(&format!("sinks.a = {{ type = 'console', format = {{ type = '{name}', zzz = 1 }} }}"));
    assert_covered(include_str!("../../../src/format/text.rs"), &format("text"), &[]);
    // These two are what the table `keys` is for.
    assert_covered(include_str!("../../../src/format/json/mod.rs"), &format("json"), &["key", "without"]);
    assert_eq!(methods(include_str!("../../../src/format/clef/mod.rs")), format("clef"));
    assert_eq!(methods(include_str!("../../../src/format/logfmt.rs")), [""; 0]);
    if cfg!(feature = "pretty") {
        assert_covered(include_str!("../../../src/format/pretty/mod.rs"), &format("pretty"), &[]);
    }
}

#[test]
fn every_variant_of_what_is_chosen_is_a_word() {
    let json = "sinks.a = { type = 'console', format = { type = 'json', keys = { zzz = 1 } } }";
    let key = words(include_str!("../../../src/format/json/keys.rs"), "Key");
    assert_eq!(key, keys(json));
    for (source, name, toml) in [
        (include_str!("../../../src/queue/overflow.rs"), "Overflow", "overflow = 'zzz'"),
        (
            include_str!("../../../src/pipeline/backlog.rs"),
            "WhenFull",
            "sinks.a = { type = 'null', when_full = 'zzz' }",
        ),
        (include_str!("../../../src/sink/console.rs"), "Colors", "sinks.a = { type = 'console', colors = 'zzz' }"),
        (
            include_str!("../../../src/sink/file/durability.rs"),
            "Durability",
            "sinks.a = { type = 'file', path = 'x', durability = 'zzz' }",
        ),
        (
            include_str!("../../../src/format/json/mod.rs"),
            "DottedKeys",
            "sinks.a = { type = 'console', format = { type = 'json', dotted = 'zzz' } }",
        ),
        (
            include_str!("../../../src/format/clef/mod.rs"),
            "ClefMessage",
            "sinks.a = { type = 'console', format = { type = 'clef', message = 'zzz' } }",
        ),
    ] {
        let (said, words) = (refused(toml), words(source, name));
        assert!(words.len() > 1, "{name}");
        // That of a spool.
        for word in words.into_iter().filter(|word| word != "sync_interval") {
            assert!(said.contains(&format!("`{word}`")) || said.contains(&format!("{word} = ")), "{word}: {said}");
        }
    }
}
