//! Whatever the builder offers that is no code can be configured. It is the source that says what it offers.

use logweir::config::Config;

/// The methods that the source of a type offers, in `impl` blocks of the whole file.
fn methods(source: &str) -> Vec<&str> {
    let names = source.lines().filter_map(|line| line.strip_prefix("    pub fn "));
    let named = names.filter(|line| line.contains("self")).filter_map(|line| line.split(['(', '<']).next());
    named.collect()
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
    let code = ["on_pressure", "on_error", "enrich_with", "sink", "cancel_on", "metrics"];
    assert_covered(include_str!("../../../src/builder/mod.rs"), &keys, &code);
    assert!(keys.contains(&"sinks".to_owned()));
}

#[test]
fn every_method_of_a_pipeline_and_of_its_policies_is_a_key_or_code() {
    let sink = |rest: &str| keys(&format!("sinks.a.type = 'null'\nsinks.a.{rest}zzz = 1"));
    assert_covered(include_str!("../../../src/pipeline/mod.rs"), &sink(""), &["on_breaker"]);
    let public = |source: &'static str| source.split("pub(super) struct").next().unwrap_or_default();
    assert_covered(public(include_str!("../../../src/pipeline/retry.rs")), &sink("retry."), &[]);
    let breaker = include_str!("../../../src/pipeline/breaker.rs");
    assert_covered(public(breaker), &sink("breaker."), &[]);
}

#[test]
fn every_method_of_a_sink_and_of_a_format_is_a_key() {
    let sink = |rest: &str| keys(&format!("sinks.a = {{ {rest}, zzz = 1 }}"));
    assert_covered(include_str!("../../../src/sink/console.rs"), &sink("type = 'console'"), &[]);
    assert_covered(include_str!("../../../src/sink/file.rs"), &sink("type = 'file', path = 'x'"), &[]);
    let text = keys("sinks.a = { type = 'console', format = { type = 'text', zzz = 1 } }");
    assert_covered(include_str!("../../../src/format/text.rs"), &text, &[]);
}
