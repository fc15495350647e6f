//! The filter's grammar under any text: no panic, no wrong round trip, and the decisions of a model that is simpler.
//!
//! Templates are parsed while the caller compiles: their property tests are beside the parser.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use logweir::filter::Filter;
use logweir::sink::{MemorySink, NullSink};
use logweir::{Event, Level, LevelFilter, Logger, Pipeline};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::runtime::{self, Runtime};

use crate::support::{PATIENCE, cases};

const THRESHOLDS: [LevelFilter; 7] = [
    LevelFilter::Trace,
    LevelFilter::Debug,
    LevelFilter::Info,
    LevelFilter::Warn,
    LevelFilter::Error,
    LevelFilter::Fatal,
    LevelFilter::Off,
];

/// A logger that nobody runs, asked only what it would let pass.
fn asked() -> (Runtime, Logger) {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let logger = Logger::builder().lanes(1).on_error(|_| {}).sink("null", NullSink).start_on(runtime.handle()).unwrap();
    (runtime, logger)
}

/// What passes of each target, by level.
fn decisions(logger: &Logger, filter: &str, targets: &[String]) -> Vec<Vec<bool>> {
    logger.set_filter(filter).unwrap_or_else(|error| panic!("{filter:?}: {error}"));
    let levels = |target: &String| Level::ALL.map(|level| logger.enabled(level, target)).to_vec();
    targets.iter().map(levels).collect()
}

/// Any text that has something to do with filters: its own words, the ones it refuses, and what is not ASCII.
fn filterish() -> impl Strategy<Value = String> {
    let words = vec![
        ",", ",", "=", "=", " ", "\t", "\u{a0}", "\u{3000}", "[", "}", "/", "::", "a", "ab", "é", "日", "info", "WARN",
        "off", "Trace", "fatal", "infos", "\0", "\u{feff}",
    ];
    vec(select(words), 0..12).prop_map(|words| words.concat())
}

/// The targets a text names, and others near them.
fn near(text: &str) -> Vec<String> {
    let named = text.split([',', '=']).map(str::trim).filter(|word| !word.is_empty());
    let around = named.flat_map(|word| {
        let mut shorter = word.chars();
        shorter.next_back();
        [word.to_owned(), format!("{word}::x"), shorter.as_str().to_owned()]
    });
    around.chain(["a".into(), "other".into(), String::new()]).collect()
}

/// What is promised for any text.
fn check_any(logger: &Logger, text: &str) {
    match text.parse::<Filter>() {
        Ok(filter) => {
            let shown = filter.to_string();
            assert_eq!(shown.parse::<Filter>().as_ref(), Ok(&filter), "{text:?} is shown as {shown:?}");
            let targets = near(text);
            assert_eq!(decisions(logger, text, &targets), decisions(logger, &shown, &targets), "{text:?}, {shown:?}");
        }
        Err(error) => {
            let at = error.column() - 1;
            assert!(text.is_char_boundary(at), "{text:?}, column {}", error.column());
            assert!(text[at..].starts_with(error.directive()), "{text:?}: {error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

/// A directive as the documentation has it: an optional target, a level unless the target alone says `trace`.
#[derive(Clone, Debug)]
struct Directive {
    target: Option<&'static str>,
    threshold: LevelFilter,
    text: String,
}

fn directive() -> impl Strategy<Value = Directive> {
    let targets = select(vec!["a", "ab", "a::b", "a::b::c", "b", "é", "info", "warn::x"]);
    let blank = || select(vec!["", "", " ", "\t", "\u{a0}"]);
    let case = any::<bool>();
    let parts =
        (proptest::option::of(targets), select(THRESHOLDS.as_slice()), blank(), blank(), blank(), case, 0..2_u8);
    parts.prop_map(|(target, threshold, before, inside, behind, is_loud, form)| {
        let level = if is_loud { threshold.to_string().to_uppercase() } else { threshold.to_string() };
        let (threshold, text) = match (target, form) {
            // A target alone, unless it reads as a level.
            (Some(target), 0) if target.parse::<LevelFilter>().is_err() => (LevelFilter::Trace, target.to_owned()),
            (Some(target), _) => (threshold, format!("{target}{inside}={inside}{level}")),
            (None, 0) => (threshold, level),
            (None, _) => (threshold, format!("={inside}{level}")),
        };
        Directive { target, threshold, text: format!("{before}{text}{behind}") }
    })
}

/// The longest target that the event's begins with decides, the last of equals, else the last default, else nothing.
fn model(directives: &[Directive], target: &str) -> LevelFilter {
    let mut decided = (None, LevelFilter::Off);
    for directive in directives {
        let length = directive.target.map(str::len);
        if target.starts_with(directive.target.unwrap_or("")) && length >= decided.0 {
            decided = (length, directive.threshold);
        }
    }
    decided.1
}

const TARGETS: [&str; 9] = ["", "a", "ab", "a::b", "a::b::c::d", "b", "é", "info", "z"];

/// What the directives of some sinks say, a filter for each, in the order of the events.
fn modelled(filters: &[Vec<Directive>], events: &[(Level, &'static str)]) -> Vec<Vec<usize>> {
    let wanted = |filter: &Vec<Directive>| {
        let passes = |&index: &usize| model(filter, events[index].1).allows(events[index].0);
        (0..events.len()).filter(passes).collect()
    };
    filters.iter().map(wanted).collect()
}

/// What some sinks of one logger get, a filter for each.
fn routed(filters: &[Vec<Directive>], events: &[(Level, &'static str)], at_run_time: bool) -> Vec<Vec<usize>> {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let sinks: Vec<_> = filters.iter().map(|_| MemorySink::new()).collect();
    let texts = filters.iter().map(|filter| filter.iter().map(|d| d.text.as_str()).collect::<Vec<_>>().join(","));
    let texts: Vec<_> = texts.collect();
    let mut builder = Logger::builder().lanes(1).level(Level::Trace).batch_size(7).on_error(|_| {});
    for (index, (sink, text)) in sinks.iter().zip(&texts).enumerate() {
        let pipeline = Pipeline::new(sink.clone());
        builder = builder.sink(&index.to_string(), if at_run_time { pipeline } else { pipeline.filter(text) });
    }
    let logger = builder.start_on(runtime.handle()).unwrap();
    if at_run_time {
        texts.iter().enumerate().for_each(|(index, text)| logger.set_sink_filter(&index.to_string(), text).unwrap());
    }
    for (index, (level, target)) in events.iter().enumerate() {
        logger.emit(Event::new(*level, target, &index.to_string()));
    }
    let report = runtime.block_on(logger.shutdown(PATIENCE));
    report.check().unwrap();
    for (sink, book) in sinks.iter().zip(&report.sinks) {
        assert_eq!((book.delivered, book.filtered), (sink.total(), events.len() as u64 - sink.total()));
    }
    let messages = |sink: &MemorySink| sink.events().iter().map(|seen| seen.message().parse().unwrap()).collect();
    sinks.iter().map(messages).collect()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn each_sink_gets_what_a_simple_model_of_its_filter_says(
        filters in vec(vec(directive(), 1..6), 1..4),
        events in vec((select(Level::ALL.as_slice()), select(TARGETS.as_slice())), 0..40),
        at_run_time in any::<bool>(),
    ) {
        prop_assert_eq!(routed(&filters, &events, at_run_time), modelled(&filters, &events));
    }
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn any_text_is_a_filter_that_is_shown_as_what_it_does_or_an_error_that_points_into_it(
        texts in vec(filterish(), 1..8),
        bytes in vec(any::<u8>(), 0..64),
        chars in any::<String>(),
    ) {
        let (_runtime, logger) = asked();
        texts.iter().for_each(|text| check_any(&logger, text));
        check_any(&logger, &String::from_utf8_lossy(&bytes));
        check_any(&logger, &chars);
    }

    #[test]
    fn a_filter_decides_as_a_simple_model_does(directives in vec(directive(), 1..8), gaps in vec(any::<bool>(), 8)) {
        let (_runtime, logger) = asked();
        let mut text = String::new();
        for (directive, is_double) in directives.iter().zip(gaps) {
            text.push_str(&directive.text);
            text.push_str(if is_double { ",," } else { "," });
        }
        let targets = ["", "a", "ab", "abc", "a::b", "a::b::c::d", "a:", "b", "é", "éa", "info", "warn", "warn::x", "z"];
        let targets = targets.map(String::from);
        for (target, decided) in targets.iter().zip(decisions(&logger, &text, &targets)) {
            let threshold = model(&directives, target);
            let expected = Level::ALL.map(|level| threshold.allows(level)).to_vec();
            prop_assert_eq!(decided, expected, "{:?} of {:?}", target, text);
        }
    }
}
