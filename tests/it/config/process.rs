//! What only a process of its own can show: its environment, and its standard streams.

use std::env;

use logweir::config::{Config, SinkRegistry};
use logweir::{Level, error, info};

use crate::children::{ROLE, child_of};
use crate::support::PATIENCE;

#[test]
fn the_environment_of_the_process_overrides() {
    let mut child = child_of("config::process::the_child", "environment");
    child.env("LOGWEIR__SINKS__SHORT__LEVEL", "loud").env("LOGWEIR_LOG", "trace");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_console_writes_where_and_in_the_colours_that_are_written() {
    let output = child_of("config::process::the_child", "console").output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    // The console's own text, in its own colours.
    assert!(stdout.contains(" to stdout \u{1b}[2mnote="), "{stdout}");
    assert!(stderr.contains("ERROR") && stderr.contains(" to stderr\n") && !stdout.contains(" to stderr"), "{stderr}");
    // Of what has options of its own they count.
    assert!(stderr.contains("+02:00  INFO it::config::process: to stdout note="), "{stderr}");
    if cfg!(feature = "pretty") {
        assert!(stdout.contains("\u{1b}[2m  │"), "the pretty one's guide: {stdout}");
    }
}

/// Does nothing unless it is the child.
#[test]
fn the_child() {
    match env::var(ROLE).as_deref() {
        Ok("environment") => read_environment(),
        Ok("console") => write_console(),
        _ => {}
    }
}

fn read_environment() {
    let error = Config::from_toml("sinks.short.type = 'null'").unwrap().with_env().expect_err("no level");
    assert_eq!(error.variable(), Some("LOGWEIR__SINKS__SHORT__LEVEL"));
    let config = Config::from_toml("filter = 'warn'\nfilter_from_env = true\nsinks.a.type = 'null'").unwrap();
    let logger = config.builder(&SinkRegistry::new()).unwrap().start().unwrap();
    assert!(logger.enabled(Level::Trace, "app"), "`LOGWEIR_LOG` goes before the filter that is written");
}

fn write_console() {
    let mut text = "
        [sinks.split]
        type = 'console'
        stderr_from = 'error'
        colors = 'always'
        format = 'text'
        [sinks.offset]
        type = 'console'
        stream = 'stderr'
        colors = 'always'
        format = { type = 'text', utc_offset = '+02:00' }
    "
    .to_owned();
    if cfg!(feature = "pretty") {
        text += "\n[sinks.pretty]\ntype = 'console'\nstderr_from = 'error'\ncolors = 'always'\nformat = 'pretty'";
    }
    let logger = Config::from_toml(&text).unwrap().builder(&SinkRegistry::new()).unwrap().start().unwrap();
    info!(logger: logger, "to stdout", note = "a\nb");
    error!(logger: logger, "to stderr");
    drop(logger.shutdown_blocking(PATIENCE).unwrap());
}
