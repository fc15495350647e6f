//! A sink task: OTLP over HTTP, as [`HttpSink`](super::HttpSink) sends it.

mod encode;
mod environment;
#[cfg(test)]
mod tests;
mod wire;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use self::encode::{put_attribute, put_record};
use self::wire::{EncodedMessage, FieldValue, begin_large, end_large, put_bytes, put_small};
use super::protocol::{HttpHead, HttpLimits, HttpProtocol};
use super::response::{HttpResponse, StatusClass};
use crate::event::{Record, Value};
use crate::sink::Answer;

/// `ExportLogsServiceRequest.resource_logs`.
const RESOURCE_LOGS: u32 = 1;
/// `ResourceLogs.resource` and `.scope_logs`.
const RESOURCE: u32 = 1;
const SCOPE_LOGS: u32 = 2;
/// `Resource.attributes`.
const RESOURCE_ATTRIBUTES: u32 = 1;
/// `ScopeLogs.scope` and `InstrumentationScope.name`.
const SCOPE: u32 = 1;
const SCOPE_NAME: u32 = 1;

const SERVICE_NAME: &str = "service.name";
/// Those of an OpenTelemetry collector: its receiver takes 20 MiB, other receivers less.
const REQUEST_BYTES: usize = 4 << 20;
const RESPONSE_BYTES: usize = 4 << 20;

/// Logs in the OpenTelemetry Protocol (OTLP 1 over HTTP, protobuf), for a collector or a vendor that takes it.
///
/// ```no_run
/// use logweir::Logger;
/// use logweir::http::{HttpSink, Otlp};
///
/// # fn main() -> Result<(), logweir::BuildError> {
/// let collector = HttpSink::new("http://localhost:4318/v1/logs", Otlp::new().resource("service.name", "shop"));
/// let logger = Logger::builder().sink("otlp", collector).start()?;
/// # Ok(())
/// # }
/// ```
///
/// | of an event | in OTLP |
/// |---|---|
/// | time | `time_unix_nano` and `observed_time_unix_nano` |
/// | level | `severity_number` 1, 5, 9, 13, 17, 21, and `severity_text` `TRACE` to `FATAL` |
/// | message | `body`, text; its template, if it has holes, the attribute `message_template.text` |
/// | target | the name of the scope |
/// | file, line | the attributes `code.file.path`, `code.line.number` |
/// | the fields `trace_id`, `span_id` | those of the record, if they are ids in OpenTelemetry's form |
/// | other fields | attributes, with their types; an integer that does not fit 64 bits with a sign is text, as is JSON |
/// | an error | text with all its sources; the message of the first one also the attribute `exception.message` |
/// | enrichment | attributes of the resource |
///
/// A field with the name of an attribute of ours gets `_` appended, so none is lost. An event that was truncated has
/// `logweir.truncated`. The resource has a `service.name`: that which is [set](Otlp::resource), else the logger's name, else
/// `unknown_service:` and the name of the program.
///
/// # Answers
/// A partial success says how many events the receiver rejected, not which: they are counted (`rejected`), and its message is
/// the sink's last error. 429, 502, 503 and 504 are sent again, other statuses from 400 on reject the request as a whole: it is
/// not searched for the event that is at fault (OTLP 1, "OTLP/HTTP response").
///
/// gRPC is not supported: in a collector, the receiver `otlp` with the protocol `http` listens on port 4318.
#[derive(Debug, Default)]
pub struct Otlp {
    resource: Vec<(String, String)>,
    logger: OnceLock<String>,
    has_uid: bool,
}

/// Where an unfinished request is.
#[derive(Clone, Copy, Debug, Default)]
pub struct OtlpBody {
    /// Where the content of the open `ResourceLogs` begins; 0: none is open.
    resource: usize,
    /// The address of the enrichment it has.
    enrichment: usize,
    /// Where that of the open `ScopeLogs` begins; 0: none is open.
    scope: usize,
    /// Where its name is.
    name: (usize, usize),
}

impl Otlp {
    /// Creates the protocol with its defaults.
    pub fn new() -> Self {
        Otlp::default()
    }

    /// Sets an attribute of the resource, such as `service.name`, `service.version` or `deployment.environment.name`. Of two
    /// with one name, the last one has effect; a field of the enrichment has precedence.
    #[must_use = "returns the protocol with the attribute"]
    pub fn resource(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.resource.retain(|(other, _)| *other != name);
        self.resource.push((name, value.into()));
        self
    }

    /// Adds each event's id as the attribute `log.record.uid`. Off by default: no receiver is known to remove duplicates by it.
    #[must_use = "returns the protocol with the ids"]
    pub fn record_uid(mut self, is_added: bool) -> Self {
        self.has_uid = is_added;
        self
    }

    fn put_resource(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let service = (!self.resource.iter().any(|(name, _)| name == SERVICE_NAME)).then(|| self.service_name());
        let service = service.as_deref().map(|service| (SERVICE_NAME, service));
        let set = self.resource.iter().map(|(name, value)| (&**name, &**value)).chain(service);
        for (name, value) in set.filter(|(name, _)| record.enrichment_fields().all(|(other, _)| other != *name)) {
            put_attribute(RESOURCE_ATTRIBUTES, name, Value::Str(value), out);
        }
        for (name, value) in record.enrichment_fields() {
            put_attribute(RESOURCE_ATTRIBUTES, name, value, out);
        }
    }

    fn service_name(&self) -> Cow<'_, str> {
        if let Some(logger) = self.logger.get() {
            return Cow::Borrowed(logger);
        }
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
        Cow::Owned(program.map_or("unknown_service".into(), |program| format!("unknown_service:{program}")))
    }
}

impl OtlpBody {
    fn name(&self) -> Range<usize> {
        self.name.0..self.name.1
    }

    fn end_scope(&mut self, body: &mut [u8]) {
        if self.scope > 0 {
            end_large(std::mem::take(&mut self.scope), body);
        }
    }

    fn end_resource(&mut self, body: &mut [u8]) {
        self.end_scope(body);
        if self.resource > 0 {
            end_large(std::mem::take(&mut self.resource), body);
        }
    }
}

impl HttpProtocol for Otlp {
    type Body = OtlpBody;

    fn set_logger(&self, name: &str) {
        self.logger.get_or_init(|| name.to_owned());
    }

    fn head(&self, head: &mut HttpHead) {
        head.set("content-type", "application/x-protobuf");
    }

    fn limits(&self) -> HttpLimits {
        HttpLimits::default().request_bytes(REQUEST_BYTES).response_bytes(RESPONSE_BYTES)
    }

    fn event(&self, open: &mut OtlpBody, record: &Record<'_>, body: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
        let enrichment = record.enrichment().map_or(0, |enrichment| Arc::as_ptr(enrichment).addr());
        if open.resource == 0 || open.enrichment != enrichment {
            open.end_resource(body);
            (open.resource, open.enrichment) = (begin_large(RESOURCE_LOGS, body), enrichment);
            put_small(RESOURCE, body, |out| self.put_resource(record, out));
        }
        let target = record.target().as_bytes();
        if open.scope == 0 || &body[open.name()] != target {
            open.end_scope(body);
            open.scope = begin_large(SCOPE_LOGS, body);
            put_small(SCOPE, body, |out| put_bytes(SCOPE_NAME, target, out));
            open.name = (body.len() - target.len(), body.len());
        }
        put_record(record, self.has_uid, body);
        Ok(())
    }

    fn end(&self, mut open: OtlpBody, body: &mut Vec<u8>) {
        open.end_resource(body);
    }

    fn answer(&self, response: &HttpResponse<'_>, _: usize) -> Answer {
        match response.class() {
            StatusClass::Success => partial_success(response),
            StatusClass::Rejected => response.answer().whole(),
            StatusClass::Temporary if !matches!(response.status(), 429 | 502 | 503 | 504) => {
                Answer::rejected(response.error()).whole()
            }
            _ => response.answer(),
        }
    }
}

/// Reads an `ExportLogsServiceResponse`. What is none says nothing about the events, which were accepted.
fn partial_success(response: &HttpResponse<'_>) -> Answer {
    const PARTIAL_SUCCESS: u64 = 1;
    const REJECTED_LOG_RECORDS: u64 = 1;
    const ERROR_MESSAGE: u64 = 2;
    let (mut rejected, mut message) = (0, String::new());
    for part in EncodedMessage(response.body()).flatten() {
        let (PARTIAL_SUCCESS, FieldValue::Bytes(partial)) = part else { continue };
        for field in EncodedMessage(partial).flatten() {
            match field {
                // Of the type `int64`.
                (REJECTED_LOG_RECORDS, FieldValue::Number(count)) => rejected = i64::max(count as i64, 0),
                (ERROR_MESSAGE, FieldValue::Bytes(text)) => message = String::from_utf8_lossy(text).into_owned(),
                _ => {}
            }
        }
    }
    let answer = Answer::delivered().rejected_unnamed(usize::try_from(rejected).unwrap_or(usize::MAX));
    // Without a number it is a warning.
    match (rejected, message.is_empty()) {
        (0, true) => answer,
        _ => answer.because(format!("{rejected} events rejected: {}", response.masked(&message))),
    }
}
