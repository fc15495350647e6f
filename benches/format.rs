//! What does one event cost to format?
//!
//! `cargo bench --bench format`. One event with a message and four typed fields, as a sink task sees it: formatted into a
//! buffer that is kept, batch after batch, so nothing is allocated. The formats take turns, round after round, so that a
//! machine that slows down slows all of them; the figure is the median round.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use logweir::event::Record;
use logweir::format::{Clef, DottedKeys, Json, Logfmt, Text};
use logweir::{Event, Format, Level, new_event};

const ROUNDS: usize = 41;
const BATCHES: usize = 40;
/// The events of a batch are 50 µs apart, so a cached second is used as it is in a service that logs a lot.
const BATCH: u64 = 512;

fn main() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let events: Vec<Event> =
        (0..BATCH).map(|i| event(i).with_timestamp(start + Duration::from_micros(50 * i))).collect();

    let mut formats: Vec<(&str, Box<dyn Format>)> = vec![
        ("json", Box::new(Json::new())),
        ("json, nested", Box::new(Json::new().dotted(DottedKeys::Nested))),
        ("clef", Box::new(Clef::new())),
        ("logfmt", Box::new(Logfmt::new())),
        ("text", Box::new(Text::new())),
        ("text, colours", Box::new(Text::new().colors(true))),
    ];
    #[cfg(feature = "pretty")]
    formats.push(("pretty", Box::new(logweir::format::Pretty::new())));
    let mut rounds = vec![Vec::with_capacity(ROUNDS); formats.len()];
    let mut out = Vec::with_capacity(1 << 20);
    for _ in 0..ROUNDS {
        for ((_, format), rounds) in formats.iter_mut().zip(&mut rounds) {
            rounds.push(round(format.as_mut(), &events, &mut out));
        }
    }

    println!("{:<14} {:>9} {:>12} {:>12}", "format", "ns/event", "M events/s", "bytes/event");
    for ((name, format), mut rounds) in formats.into_iter().zip(rounds) {
        rounds.sort_by(f64::total_cmp);
        let nanos = rounds[ROUNDS / 2];
        println!("{name:<14} {nanos:>9.1} {:>12.2} {:>12}", 1e3 / nanos, line_len(format, &events[0]));
    }
}

fn event(i: u64) -> Event {
    new_event!(
        Level::Info,
        target: "checkout::api",
        "request served",
        user_id = 1_000 + i * 7_919,
        path = "/api/v1/orders",
        status = 200_u64,
        elapsed_ms = 0.25 + i as f64 * 0.173,
    )
}

/// Nanoseconds per event.
fn round(format: &mut dyn Format, events: &[Event], out: &mut Vec<u8>) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCHES {
        out.clear();
        for event in events {
            format.format(&Record::from(black_box(event)), out);
        }
        black_box(&out);
    }
    start.elapsed().as_nanos() as f64 / (BATCHES * events.len()) as f64
}

fn line_len(mut format: Box<dyn Format>, event: &Event) -> usize {
    let mut out = Vec::new();
    format.format(&Record::from(event), &mut out);
    out.len()
}
