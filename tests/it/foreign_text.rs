//! Text of others in what the logger says of itself: one line, without anything that drives a terminal, of bounded
//! length.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a child tells its parent")]

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex};

use logweir::error::Diagnostic;
use logweir::{Batch, Sink, SinkError, async_trait};

use crate::children::{ROLE, Running, child_of};
use crate::support::{PATIENCE, builder, emit_numbers, once};

/// What a server could answer: a line of its own, colors, and text from right to left.
const HOSTILE: &str = "503\n2026-01-01T00:00:00.000Z ERROR app: forged\r\u{1b}[31m\u{202e}\u{9b}\u{2028}";
const ESCAPED: &str = "503\\n2026-01-01T00:00:00.000Z ERROR app: forged\\r\\u{1b}[31m\\u{202e}\\u{9b}\\u{2028}";

/// Never ends: neither its text nor its sources.
#[derive(Debug)]
struct Endless;

static ENDLESS: Endless = Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..100_000).try_for_each(|_| f.write_str("endless "))
    }
}

impl Error for Endless {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&ENDLESS)
    }
}

#[derive(Clone, Copy)]
enum Fails {
    Hostile,
    Endless,
    Panics,
}

struct Foreign(Fails);

#[async_trait]
impl Sink for Foreign {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        match self.0 {
            Fails::Hostile => Err(SinkError::temporary(HOSTILE)),
            Fails::Endless => Err(SinkError::permanent(Endless)),
            Fails::Panics => panic!("{HOSTILE}"),
        }
    }
}

/// What is reported of such a sink, and the report of its logger.
fn reported(fails: Fails) -> (Vec<String>, logweir::ShutdownReport) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let said = said.clone();
        move |diagnostic: &Diagnostic| said.lock().unwrap().extend([diagnostic.to_string(), format!("{diagnostic:?}")])
    };
    let logger = builder().on_error(handler).name("a\nb").sink("x\u{1b}[2J", once(Foreign(fails))).start().unwrap();
    emit_numbers(&logger, [0]);
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    let said = said.lock().unwrap().clone();
    (said, report)
}

fn is_harmless(text: &str) -> bool {
    !text.contains(|c: char| {
        c != '\n' && c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}')
    })
}

#[test]
fn an_errors_message_is_one_escaped_line_in_diagnostics_and_reports() {
    for (fails, kind) in [(Fails::Hostile, "the sink failed for now"), (Fails::Panics, "the sink panicked")] {
        let (said, report) = reported(fails);
        let line = format!("sink `x\\u{{1b}}[2J`: {kind}: {ESCAPED}");
        assert!(said.contains(&line), "{said:?}");
        assert!(said.iter().all(|text| is_harmless(text) && !text.contains('\n')), "{said:?}");
        let last = report.sinks[0].last_error.as_ref().unwrap();
        assert_eq!(last.message, format!("{kind}: {ESCAPED}"));
        let shown = report.to_string();
        assert!(is_harmless(&shown) && shown.starts_with("a\\nb: shut down in "), "{shown}");
        // The lines of the report's own.
        assert_eq!(shown.lines().count(), 4, "{shown}");
    }
}

#[test]
fn an_error_without_end_takes_a_bounded_part_of_a_report() {
    let (said, report) = reported(Fails::Endless);
    assert!(!said.is_empty() && said.iter().all(|text| text.len() < 1200), "{}", said[0].len());
    let message = &report.sinks[0].last_error.as_ref().unwrap().message;
    assert!(message.starts_with("the sink is unusable: endless ") && message.ends_with('…'), "{message}");
    assert!(message.len() <= 1024 + '…'.len_utf8());
}

#[test]
fn a_hostile_error_is_one_line_on_standard_error() {
    let (status, text) = Running::start(&mut child_of("foreign_text::the_child", "foreign text")).ends();
    assert!(status.success(), "{text}");
    let ours: Vec<_> = text.lines().filter(|line| line.contains("forged")).collect();
    assert_eq!(ours, [format!("logweir: a\\nb: sink `x`: the sink failed for now: {ESCAPED}")]);
}

#[test]
fn the_child() {
    if std::env::var(ROLE).as_deref() != Ok("foreign text") {
        return;
    }
    let builder = logweir::Logger::builder().name("a\nb").sink("x", once(Foreign(Fails::Hostile)));
    let logger = builder.start().unwrap();
    emit_numbers(&logger, [0]);
    drop(logger.shutdown_blocking(PATIENCE).unwrap());
}
