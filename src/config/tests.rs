//! A test's thread: the example's keys have the default values. The builder's part of this is in `builder`.

use super::format::tests::is_as_without_options;
use super::reader::read;
use super::settings::Settings;
use super::sink::tests::file_and_console;
use super::*;

/// The example with every commented-out key enabled.
pub(crate) fn whole_example() -> String {
    let is_key = |line: &str| line.starts_with('#') && line != "#" && !line.starts_with("# ");
    let lines = Config::example().lines().map(|line| if is_key(line) { &line[1..] } else { line });
    let text = lines.filter(|line| cfg!(feature = "prometheus") || !line.starts_with("prometheus"));
    let text = text.collect::<Vec<_>>().join("\n");
    // The options of `pretty` are those of text, and one more.
    if cfg!(feature = "pretty") { text } else { text.replace("width = 100\n", "").replace("\"pretty\"", "\"text\"") }
}

#[test]
fn the_sinks_of_the_example_are_made_as_without_its_keys() {
    let root = text::from_toml(&whole_example(), &Origin::new(Source::Text)).expect("TOML");
    assert!(Settings::read(&root).is_ok());
    let sinks = root.get("sinks").expect("sinks");
    file_and_console(sinks.get("file").expect("file"), sinks.get("console").expect("console"));
}

#[test]
fn the_formats_of_the_example_write_what_they_write_without_its_keys() {
    let root = text::from_toml(&whole_example(), &Origin::new(Source::Text)).expect("TOML");
    let sinks = root.get("sinks").expect("sinks").entries();
    let formats: Vec<_> = sinks.iter().filter_map(|(_, sink)| sink.get("format")).collect();
    assert!(formats.len() > 5, "one for each, and the file's");
    for format in formats {
        let name: String = read(format.get("type").unwrap_or(format), &[], &[]).expect("its name");
        is_as_without_options(&read(format, &[], &[]).expect("a format"), &name);
    }
}
