//! What the example shows is what happens without it. The builder's part of this is beside the builder.

use super::settings::Settings;
use super::sink::tests::file_and_console;
use super::*;

/// The example with every key that it has commented out.
pub(crate) fn whole_example() -> String {
    let is_key = |line: &str| line.starts_with('#') && line != "#" && !line.starts_with("# ");
    let lines = Config::example().lines().map(|line| if is_key(line) { &line[1..] } else { line });
    let built = |line: &&str| cfg!(feature = "prometheus") || !line.starts_with("prometheus");
    lines.filter(built).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sinks_of_the_example_are_made_as_without_its_keys() {
    let root = text::from_toml(&whole_example(), &Origin::new(Source::Text)).expect("TOML");
    assert!(Settings::read(&root).is_ok());
    let sinks = root.get("sinks").expect("sinks");
    file_and_console(sinks.get("file").expect("file"), sinks.get("console").expect("console"));
}
