//! cargo run --example vendor --features http -- http://localhost:8088/services/collector/event TOKEN
//!
//! A vendor's protocol in a file of its own: the HTTP Event Collector of Splunk. Logs three events to the URL with this token,
//! and prints the report.
//!
//! A request is one JSON object after another, `{"time":1.5,"source":"shop","event":{..}}`. A response is
//! `{"text":"Success","code":0}`; one to a request with an event that is not acceptable has its number,
//! `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, and the events before it are indexed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example for the terminal")]

use std::borrow::Cow;
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use logweir::event::Record;
use logweir::format::{Json, Key};
use logweir::http::{HttpHead, HttpLimits, HttpProtocol, HttpResponse, HttpSink, StatusClass};
use logweir::sink::{Answer, Verdict};
use logweir::{Format, Logger, info, warn};

/// What an event has beside the message and the fields.
struct Splunk {
    event: Mutex<Json>,
}

impl Splunk {
    fn new() -> Self {
        Splunk { event: Mutex::new(Json::new().without(Key::Timestamp).without(Key::Target)) }
    }
}

impl HttpProtocol for Splunk {
    type Body = ();

    fn head(&self, head: &mut HttpHead) {
        head.set("content-type", "application/json");
    }

    fn limits(&self) -> HttpLimits {
        HttpLimits::default().request_bytes(1 << 20).event_bytes(64 << 10)
    }

    fn event(&self, _: &mut (), record: &Record<'_>, body: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
        let (seconds, millis) = (record.timestamp_nanos() / 1_000_000_000, record.timestamp_nanos() / 1_000_000 % 1000);
        // `Debug` of text is JSON for the characters that a target has.
        write!(body, r#"{{"time":{seconds}.{millis:03},"source":{:?},"event":"#, record.target())
            .map_err(|error| error.to_string())?;
        self.event.lock().unwrap_or_else(PoisonError::into_inner).format(record, body);
        body.push(b'}');
        Ok(())
    }

    fn answer(&self, response: &HttpResponse<'_>, events: usize) -> Answer {
        let number = invalid_event(response.body()).filter(|number| *number < events);
        match (response.class(), number) {
            // Those behind it were not read.
            (StatusClass::Rejected, Some(number)) => {
                let rejected = Verdict::Rejected("not acceptable".into());
                let answer = Answer::delivered().except(number, rejected);
                (number + 1..events).fold(answer, |answer, index| answer.except(index, Verdict::Again))
            }
            _ => response.answer(),
        }
    }
}

/// The number of the event that was refused.
fn invalid_event(body: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"invalid-event-number\":")?;
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let [url, token] = std::env::args().skip(1).collect::<Vec<_>>().try_into().unwrap_or_default();
    if token.is_empty() {
        eprintln!("usage: vendor URL TOKEN");
        return Ok(ExitCode::from(2));
    }
    let splunk = HttpSink::new(url, Splunk::new()).header("authorization", format!("Splunk {token}"));
    let logger = Logger::builder().sink("splunk", splunk).start()?;
    for n in 1..=2 {
        info!(logger: logger, "order {n} was paid", n);
    }
    warn!(logger: logger, "order {n} is late", n = 3);
    println!("{}", logger.shutdown(Duration::from_secs(5)).await);
    Ok(ExitCode::SUCCESS)
}
