//! What goes wrong beside the events' way: it is counted and said, costs no event and hides nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::io;
use std::sync::{Arc, Mutex};

use logweir::error::Diagnostic;
use logweir::sink::SinkErrorKind;
use logweir::{Batch, Builder, Sink, SinkError, async_trait};

use crate::support::{Answer, PATIENCE, ScriptedSink, builder, emit_numbers, once};

/// Does as its script says, and has trouble after each call.
struct Grumbling(ScriptedSink);

#[async_trait]
impl Sink for Grumbling {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.0.write(batch).await
    }

    fn take_error(&mut self) -> Option<SinkError> {
        Some(SinkError::temporary(io::Error::other("cannot tidy up")))
    }
}

/// A builder, and what its logger says of its own trouble.
fn hearing() -> (Builder<'static>, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let said = said.clone();
        move |trouble: &Diagnostic| said.lock().unwrap().push(trouble.to_string())
    };
    (builder().on_error(handler), said)
}

#[test]
fn trouble_is_counted_and_said_and_the_outage_behind_it_is_said_too() {
    let (builder, said) = hearing();
    let scripted = ScriptedSink::new().writes([Answer::Ok, Answer::Temporary, Answer::Temporary]);
    let logger = builder.sink("file", once(Grumbling(scripted.clone()))).start().unwrap();
    for number in 0..3 {
        emit_numbers(&logger, [number]);
        logger.flush_blocking(PATIENCE).map(drop).unwrap();
    }
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    report.check().unwrap();
    let sink = &report.sinks[0];
    assert_eq!((sink.delivered, scripted.seen(), sink.dropped.total()), (1, 1, 2));
    let said = said.lock().unwrap();
    let of = |cause: &str| said.iter().filter(|line| line.contains(cause)).count();
    // An outage is said once, trouble each time: after every write, flush and close, notices included.
    assert_eq!(of("sink `file`: the sink failed for now: busy"), 1, "{said:?}");
    let troubles = of("sink `file`: the sink failed for now: cannot tidy up");
    assert!(troubles >= 7, "{said:?}");
    assert_eq!(sink.errors_of(SinkErrorKind::Temporary), 2 + troubles as u64);
}

#[test]
fn trouble_of_a_fallback_is_said_under_its_name_and_it_goes_on() {
    let (builder, said) = hearing();
    let fallback = ScriptedSink::new();
    let pipeline = once(ScriptedSink::always(Answer::Temporary)).fallback(Grumbling(fallback.clone()));
    let logger = builder.sink("file", pipeline).start().unwrap();
    emit_numbers(&logger, 0..3);
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered_by_fallback, fallback.seen()), (3, 3));
    let said = said.lock().unwrap();
    assert!(
        said.iter().any(|line| line.contains("sink `file/1`: the sink failed for now: cannot tidy up")),
        "{said:?}"
    );
}
