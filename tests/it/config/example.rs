//! The example: it is read, all of it, and it has every key.

use std::collections::BTreeSet;

use logweir::config::{Config, SinkRegistry};
use logweir::info;
use logweir::sink::NullSink;
use serde_json::{Value, json};

use super::{buildable_example, folder, from_json, refused, unbuilt, whole_example, whole_example_as_json};
use crate::support::PATIENCE;

#[test]
fn the_example_is_read_and_starts_as_it_is() {
    let config = Config::from_toml(Config::example()).unwrap();
    let logger = config.builder(&SinkRegistry::new()).unwrap().start().unwrap();
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    assert_eq!(report.sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(), ["console"]);
}

#[test]
fn the_example_starts_with_every_key_that_it_has() {
    let folder = folder("example");
    let mut json = buildable_example();
    for (name, sink) in json["sinks"].as_object_mut().unwrap() {
        if let Some(path) = sink.pointer_mut("/spool/path") {
            *path = json!(folder.join(path.as_str().unwrap()));
        }
        if let Some(path) = sink.get_mut("path") {
            *path = json!(folder.join(path.as_str().unwrap()));
        } else if name != "nowhere" {
            // Not in the output of the tests.
            sink["level"] = json!("fatal");
        }
    }
    if json.get("prometheus").is_some() {
        json["prometheus"] = json!("127.0.0.1:0");
    }
    let logger = from_json(&json).unwrap().builder(&SinkRegistry::new()).unwrap().start().unwrap();
    info!(logger: logger, "hello");
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    let delivered: Vec<_> = report.sinks.iter().filter(|sink| sink.delivered == 1).map(|sink| &sink.name).collect();
    assert_eq!(delivered, ["file", "loki", "nowhere", "programs", "seq"]);
    let rolled = std::fs::read_dir(folder.join("logs")).unwrap().map(|file| file.unwrap().path());
    let rolled: Vec<_> = rolled.filter(|path| path.to_string_lossy().ends_with(".0001.log")).collect();
    let text = std::fs::read_to_string(&rolled[0]).unwrap();
    // JSON's objects are sorted here.
    assert!(text.contains(": hello canary=false service=checkout shard=7\n"), "{text}");
}

/// Whoever begins with the README begins with what is accepted.
#[test]
fn the_configurations_of_the_readme_are_read() {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let configurations: Vec<_> = blocks.filter(|block| block.contains("[sinks.")).collect();
    assert!(!configurations.is_empty());
    for text in configurations {
        let text = if cfg!(feature = "gzip") { text.to_owned() } else { text.replace("gzip = true", "gzip = false") };
        assert!(Config::from_toml(&text).is_ok(), "{:?} in {text}", Config::from_toml(&text).err());
    }
}

#[test]
fn as_toml_too() {
    let whole = whole_example();
    let has_features = cfg!(all(feature = "prometheus", feature = "pretty", feature = "spool"));
    assert_eq!(Config::from_toml(&whole).is_ok(), has_features, "{:?}", Config::from_toml(&whole).err());
}

#[test]
fn every_line_of_the_example_is_blank_a_key_a_table_one_of_these_commented_out_or_an_explanation() {
    let is_key = |line: &str| {
        let name = line.split([' ', '=']).next().unwrap_or_default();
        line.starts_with('[')
            || (!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && line.contains(" = "))
    };
    for line in Config::example().lines() {
        let is_fine = match line.strip_prefix('#') {
            None => line.is_empty() || is_key(line),
            Some(rest) => rest.is_empty() || rest.starts_with(' ') || is_key(rest),
        };
        assert!(is_fine && line.chars().count() <= 120, "{line}");
    }
}

/// What a table takes is asked of the table, by a key that it does not have.
#[test]
fn every_key_of_every_table_is_in_the_example() {
    let (shown, whole) = (whole_example_as_json(), buildable_example());
    let mut asked = BTreeSet::new();
    let mut missing = Vec::new();
    let mut ask = |pointer: &str| {
        let Some(keys) = keys_at(&whole, pointer) else { return Vec::new() };
        for key in &keys {
            let is_there =
                same_tables(&shown, pointer).iter().any(|pointer| shown.pointer(&format!("{pointer}/{key}")).is_some());
            // One that takes the place of another is explained beside it.
            let is_explained =
                Config::example().lines().any(|line| line.starts_with("# ") && line.contains(&format!("{key} = ")));
            if !is_there && !is_explained && key != "fallback" {
                missing.push(format!("{pointer}/{key}"));
            }
        }
        asked.insert(pointer.to_owned());
        keys
    };
    let mut pointers = vec![String::new()];
    while let Some(pointer) = pointers.pop() {
        let below = |key: &String| format!("{pointer}/{key}");
        let named = whole.pointer(&pointer).and_then(Value::as_object);
        let named = named.into_iter().flat_map(|table| table.keys().cloned());
        let keys: BTreeSet<String> = ask(&pointer).into_iter().chain(named).collect();
        // Fallbacks of fallbacks have no end.
        pointers.extend(keys.iter().map(below).filter(|pointer| pointer.matches("fallback").count() < 2));
    }
    assert_eq!(missing, [""; 0]);
    for table in [
        "",
        "/overflow",
        "/reserve",
        "/sinks/console/format",
        "/sinks/file",
        "/sinks/file/retry",
        "/sinks/file/fallback",
    ] {
        assert!(asked.contains(table), "{table:?} of {asked:?}");
    }
}

/// Each with a table of its own, whose keys the test above asks for.
#[test]
fn every_type_of_sink_and_format_is_in_the_example() {
    let types = Config::from_toml("sinks.a.type = 'zzz'").unwrap();
    let sinks = unbuilt(&types, &SinkRegistry::new()).to_string();
    let formats = refused("sinks.a = { type = 'console', format = { type = 'zzz' } }");
    let json = whole_example_as_json();
    let shown: Vec<&Value> = json["sinks"].as_object().unwrap().values().collect();
    let of_sinks = shown.iter().map(|sink| &sink["type"]);
    let of_formats =
        shown.iter().filter_map(|sink| sink.get("format")).map(|format| format.get("type").unwrap_or(format));
    for (said, shown) in [(sinks, of_sinks.collect::<Vec<_>>()), (formats, of_formats.collect())] {
        let words: Vec<_> = said.split("allowed is ").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert!(words.len() > 1, "{said}");
        for word in words {
            assert!(shown.contains(&&json!(word)), "{word} is not among {shown:?}");
        }
    }
}

/// Where the example may have the keys of this table: a key that several sinks have is explained once.
fn same_tables(whole: &Value, pointer: &str) -> Vec<String> {
    let Some(below) = pointer.strip_prefix("/sinks/") else { return vec![pointer.to_owned()] };
    let below = below.split_once('/').map_or("", |(_, below)| below).replace("fallback/", "").replace("fallback", "");
    let sinks = whole["sinks"].as_object().unwrap().keys();
    sinks.map(|sink| format!("/sinks/{sink}/{below}").trim_end_matches('/').to_owned()).collect()
}

/// The keys of the table there, if it is one that knows its keys.
fn keys_at(whole: &Value, pointer: &str) -> Option<Vec<String>> {
    let mut broken = whole.clone();
    let (above, key) = pointer.rsplit_once('/').unwrap_or_default();
    let table =
        if pointer.is_empty() { Some(&mut broken) } else { broken.pointer_mut(above)?.as_object_mut()?.get_mut(key) };
    let table = match table {
        Some(table) => table,
        // A key that is not in the example: it may be a table.
        None => broken.pointer_mut(above)?.as_object_mut()?.entry(key).or_insert(Value::Null),
    };
    if !table.is_object() {
        *table = json!({});
    }
    table.as_object_mut()?.insert("zzz".into(), json!(1));
    let config = from_json(&broken);
    let sinks = SinkRegistry::new().register("registered", |(): ()| Ok::<_, std::io::Error>(NullSink));
    let error = config.err().or_else(|| from_json(&broken).ok()?.builder(&sinks).err())?;
    let expected = format!("{}.zzz", pointer.trim_start_matches('/').replace('/', "."));
    if error.key()? != expected.trim_start_matches('.') {
        return None;
    }
    let said = error.to_string();
    let (_, allowed) = said.split_once("; allowed there: ")?;
    Some(allowed.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}
