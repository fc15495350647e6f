//! Whatever a program does with its spans, an event has those that the `fmt` layer of `tracing-subscriber` finds, too.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use logweir::sink::CapturedEvent;
use serde_json::Value;
use tracing::field::Empty;
use tracing::{Span, Subscriber, debug_span, info, info_span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{fmt, registry};

use super::Weir;

/// Opens, enters, leaves, records, closes and logs, as the seed says.
struct Program {
    random: fastrand::Rng,
    open: Vec<Span>,
    /// Spans entered, the innermost last.
    entered: Vec<tracing::span::EnteredSpan>,
}

impl Program {
    fn run(seed: u64) {
        let mut program = Program { random: fastrand::Rng::with_seed(seed), open: Vec::new(), entered: Vec::new() };
        (0..120).for_each(|step| program.step(step));
        // The innermost first, which is how spans are left.
        while let Some(entered) = program.entered.pop() {
            drop(entered);
        }
    }

    fn step(&mut self, step: u64) {
        match self.random.u8(0..9) {
            0 | 1 => {
                let span = self.span(step);
                self.open.push(span);
            }
            2 | 3 => {
                if let Some(span) = self.any() {
                    self.entered.push(span.entered());
                }
            }
            4 => drop(self.entered.pop()),
            5 => {
                if let Some(span) = self.any() {
                    span.record(["x", "y", "later"][self.random.usize(0..3)], step);
                }
            }
            6 if !self.open.is_empty() => {
                let index = self.random.usize(0..self.open.len());
                drop(self.open.swap_remove(index));
            }
            7 => match self.any() {
                Some(span) => info!(parent: &span, step, "explicit"),
                None => info!(parent: None, step, "root"),
            },
            _ if step.is_multiple_of(2) => info!(step, y = "own", "contextual"),
            _ => info!(step, "contextual"),
        }
    }

    fn any(&mut self) -> Option<Span> {
        (!self.open.is_empty()).then(|| self.open[self.random.usize(0..self.open.len())].clone())
    }

    fn span(&mut self, x: u64) -> Span {
        match (self.random.u8(0..4), self.any()) {
            (0, Some(parent)) => info_span!(parent: &parent, "child", x, later = Empty),
            (1, _) => info_span!(parent: None, "root", x, y = "text", later = Empty),
            (2, _) => debug_span!("hidden", x, later = Empty),
            _ => info_span!("contextual", y = x, later = Empty),
        }
    }
}

/// The step, the message, the names of the spans and their fields.
type Line = (u64, String, Vec<String>, BTreeMap<String, String>);

fn ours(event: &CapturedEvent) -> Line {
    let mut fields: BTreeMap<_, _> = event.fields().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
    let (leaf, path) = (fields.remove("span"), fields.remove("spans"));
    let names: Vec<_> = path.iter().flat_map(|path| path.split(':').map(str::to_owned)).collect();
    assert_eq!(names.last(), leaf.as_ref());
    let step = fields.remove("step").unwrap().parse().unwrap();
    (step, event.message(), names, fields)
}

/// The scope that the `fmt` layer finds, a line for each event. Not its own JSON: that one takes the current span's parents
/// for those of an explicit one.
struct Scope;

impl<S> FormatEvent<S, JsonFields> for Scope
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let mut spans = Vec::new();
        for span in cx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = &extensions.get::<FormattedFields<JsonFields>>().unwrap().fields;
            spans.push(format!(r#"["{}",{}]"#, span.name(), if fields.is_empty() { "{}" } else { fields }));
        }
        write!(writer, r#"{{"spans":[{}],"fields":"#, spans.join(","))?;
        cx.format_fields(writer.by_ref(), event)?;
        writeln!(writer, "}}")
    }
}

/// The same of a line. Of equal names the nearest has the plain one, the others that of their span before it.
fn theirs(line: &str) -> Line {
    let mut line: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut take = |name| line["fields"].as_object_mut().unwrap().remove(name).unwrap();
    let (step, message) = (take("step").as_u64().unwrap(), text(&take("message")));
    let mut names = Vec::new();
    // Each with the name that it has where its own is taken.
    let mut fields: BTreeMap<String, (String, String)> = BTreeMap::new();
    let event = serde_json::json!(["", line["fields"]]);
    for nearer in line["spans"].as_array().unwrap().iter().chain([&event]) {
        let (span, own) = (text(&nearer[0]), nearer[1].as_object().unwrap());
        for hidden in own.keys().filter(|name| fields.contains_key(*name)).cloned().collect::<Vec<_>>() {
            let (mut other, value) = fields.remove(&hidden).unwrap();
            while fields.contains_key(&other) || own.contains_key(&other) {
                other.push('_');
            }
            fields.insert(other.clone(), (other, value));
        }
        fields.extend(own.iter().map(|(name, value)| (name.clone(), (format!("{span}.{name}"), text(value)))));
        names.push(span);
    }
    names.pop();
    (step, message, names, fields.into_iter().map(|(name, (_, value))| (name, value)).collect())
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_in_the_spans_in_which_the_fmt_layer_finds_them_with_every_field() {
    let mut compared = 0;
    for seed in 0..200 {
        let (weir, buffer) = (Weir::filter("info").await, Buffer::default());
        let writer = buffer.clone();
        let theirs_layer =
            fmt::layer().fmt_fields(JsonFields::new()).event_format(Scope).with_writer(move || writer.clone());
        let guard = registry()
            .with(theirs_layer.with_filter(LevelFilter::INFO))
            .with(weir.logger.tracing_layer())
            .set_default();
        Program::run(seed);
        drop(guard);
        let ours: Vec<_> = weir.end().await.iter().map(ours).collect();
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let theirs: Vec<_> = text.lines().map(theirs).collect();
        assert_eq!(ours, theirs, "seed {seed}");
        compared += ours.len();
    }
    assert!(compared > 2000, "{compared} events were compared");
}
