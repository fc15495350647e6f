//! A logger from a file and from the environment: what is written there happens, and what is wrong there is named.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod coverage;
mod environment;
mod errors;
mod example;
mod paths;
mod process;
mod run;
mod secrets;

use std::fs;
use std::path::PathBuf;

use logweir::config::{Config, ConfigError, SinkRegistry};

/// A fresh folder.
fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("logweir-config-{}-{test}", std::process::id()));
    fs::remove_dir_all(&folder).unwrap_or_default();
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The example with every key that it has commented out.
fn whole_example() -> String {
    let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let uncommented = |line| Some(line).filter(is_key).map_or(line, |line| &line[1..]);
    Config::example().lines().map(uncommented).fold(String::new(), |text, line| text + line + "\n")
}

/// The same as JSON.
fn whole_example_as_json() -> serde_json::Value {
    let table: toml::Table = whole_example().parse().unwrap();
    serde_json::to_value(table).unwrap()
}

/// What of it this build has the features for.
fn buildable_example() -> serde_json::Value {
    let mut json = whole_example_as_json();
    if !cfg!(feature = "prometheus") {
        json.as_object_mut().unwrap().remove("prometheus");
    }
    if !cfg!(feature = "pretty") {
        json["sinks"].as_object_mut().unwrap().remove("developer");
    }
    json
}

fn from_json(json: &serde_json::Value) -> Result<Config, ConfigError> {
    Config::from_json(&json.to_string())
}

fn refused(toml: &str) -> String {
    Config::from_toml(toml).map(drop).expect_err(toml).to_string()
}

fn unbuilt(config: &Config, sinks: &SinkRegistry) -> ConfigError {
    config.builder(sinks).err().expect("it must not be built")
}
