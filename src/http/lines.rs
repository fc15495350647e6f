//! A sink task: JSON in the bodies of requests, for the many destinations that take it.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use super::protocol::{HttpHead, HttpLimits, HttpProtocol};
use crate::event::Record;
use crate::format::{Format, Json};

/// One JSON object on each line (`application/x-ndjson`): VictoriaLogs, ClickHouse (`FORMAT JSONEachRow`), Axiom, Loki's
/// push gateways, webhooks.
///
/// The objects are those of a format: [`Json`](crate::format::Json), [`Clef`](crate::format::Clef), or one of your own.
#[derive(Debug)]
pub struct JsonLines<F = Json> {
    format: Mutex<F>,
    limits: HttpLimits,
}

/// One JSON array with an object for each event (`application/json`).
///
/// # Datadog
/// ```no_run
/// use std::time::Duration;
///
/// use logweir::http::{HttpLimits, HttpSink, JsonArray, Secret};
///
/// let limits = HttpLimits::default().request_events(1000).request_bytes(5 << 20).event_bytes(1 << 20);
/// let datadog = HttpSink::new("http://http-intake.logs.datadoghq.com/api/v2/logs", JsonArray::new())
///     .header("dd-api-key", Secret::variable("DD_API_KEY"))
///     .limits(limits.oldest(Duration::from_secs(18 * 3600)));
/// ```
#[derive(Debug)]
pub struct JsonArray<F = Json> {
    format: Mutex<F>,
    limits: HttpLimits,
}

macro_rules! of_format {
    ($name:ident) => {
        impl $name {
            /// Creates the protocol with the format [`Json`] and its defaults.
            pub fn new() -> Self {
                $name::of(Json::new())
            }
        }

        impl<F: Format> $name<F> {
            /// Creates the protocol with this format, which must write one JSON object and a line end for each event.
            pub fn of(format: F) -> Self {
                $name { format: Mutex::new(format), limits: HttpLimits::default() }
            }

            fn write(&self, record: &Record<'_>, body: &mut Vec<u8>) {
                self.format.lock().unwrap_or_else(PoisonError::into_inner).format(record, body);
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $name::new()
            }
        }
    };
}

of_format!(JsonLines);
of_format!(JsonArray);

impl<F: Format> HttpProtocol for JsonLines<F> {
    type Body = ();

    fn head(&self, head: &mut HttpHead) {
        head.set("content-type", "application/x-ndjson");
    }

    fn limits(&self) -> HttpLimits {
        self.limits
    }

    fn event(&self, _: &mut (), record: &Record<'_>, body: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
        self.write(record, body);
        Ok(())
    }
}

impl<F: Format> HttpProtocol for JsonArray<F> {
    type Body = ();

    fn head(&self, head: &mut HttpHead) {
        head.set("content-type", "application/json");
    }

    fn limits(&self) -> HttpLimits {
        self.limits
    }

    fn begin(&self, body: &mut Vec<u8>) {
        body.push(b'[');
    }

    fn event(&self, _: &mut (), record: &Record<'_>, body: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
        if body.len() > 1 {
            body.push(b',');
        }
        self.write(record, body);
        // The line end of the format.
        body.pop_if(|last| *last == b'\n');
        Ok(())
    }

    fn end(&self, (): (), body: &mut Vec<u8>) {
        body.push(b']');
    }
}
