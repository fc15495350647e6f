//! A sink task: the bulk API of Elasticsearch and OpenSearch.

use std::borrow::Cow;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::protocol::{HttpHead, HttpLimits, HttpProtocol};
use super::response::{HttpResponse, StatusClass};
use crate::event::Record;
use crate::format::{Format, Json, Key};
use crate::sink::{Acknowledges, Answer, Verdict};

/// Of what comes back for each event, this alone.
const FILTER: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";
const REQUEST_BYTES: usize = 4 << 20;
const RESPONSE_BYTES: usize = 4 << 20;

/// The bulk API of Elasticsearch and OpenSearch, into a data stream or an index. The sink's URL is that of the cluster.
///
/// ```no_run
/// use logweir::Logger;
/// use logweir::http::{Elastic, HttpSink, Secret};
///
/// # fn main() -> Result<(), logweir::BuildError> {
/// let sink = HttpSink::new("http://localhost:9200", Elastic::new("logs-shop-default"))
///     .basic_auth("shop", Secret::variable("ELASTIC_PASSWORD"));
/// let logger = Logger::builder().sink("elastic", sink).start()?;
/// # Ok(())
/// # }
/// ```
///
/// An event is a document with the names of the Elastic Common Schema: `@timestamp`, `log.level`, `log.logger` (the target),
/// `log.origin.file.name`, `log.origin.file.line`, `message`, and the fields under their own names.
///
/// # Answers
/// Each document has its own: with 201 it is stored; with 408, 429 or from 500 on it is sent again; with 401, 403 or 404, as of a
/// missing index or one that is closed to writes, it waits and the breaker opens; with another status it is rejected with the
/// reason that came.
///
/// # Duplicates
/// The id of an event is that of its document, which is created (`create`), not replaced: what comes again is refused with 409,
/// which counts as delivered. That is so within one index: what is sent again after a rollover is there twice, and so is
/// everything in a time series data stream, which chooses ids itself. So repeats count as `maybe_duplicated`.
#[derive(Debug)]
pub struct Elastic {
    path: String,
    format: Mutex<Json>,
}

impl Elastic {
    /// Creates the protocol for this data stream or index.
    pub fn new(stream: impl AsRef<str>) -> Self {
        let format = Json::new()
            .key(Key::Timestamp, "@timestamp")
            .key(Key::Level, "log.level")
            .key(Key::Target, "log.logger")
            .key(Key::File, "log.origin.file.name")
            .key(Key::Line, "log.origin.file.line");
        Elastic { path: format!("/{}/_bulk?{FILTER}", stream.as_ref()), format: Mutex::new(format) }
    }
}

impl HttpProtocol for Elastic {
    type Body = ();

    fn head(&self, head: &mut HttpHead) {
        head.append_path(self.path.clone());
        head.set("content-type", "application/x-ndjson");
    }

    fn limits(&self) -> HttpLimits {
        HttpLimits::default().request_bytes(REQUEST_BYTES).response_bytes(RESPONSE_BYTES)
    }

    fn event(&self, _: &mut (), record: &Record<'_>, body: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
        // Memory takes every byte.
        writeln!(body, r#"{{"create":{{"_id":"{}"}}}}"#, record.id()).unwrap_or_default();
        self.format.lock().unwrap_or_else(PoisonError::into_inner).format(record, body);
        Ok(())
    }

    fn answer(&self, response: &HttpResponse<'_>, events: usize) -> Answer {
        if response.class() != StatusClass::Success {
            return response.answer();
        }
        match serde_json::from_slice::<Bulk>(response.body()) {
            Ok(Bulk { errors: false, .. }) => Answer::delivered(),
            Ok(Bulk { items, .. }) if items.len() == events => verdicts(items, response),
            Ok(Bulk { items, .. }) => {
                let why = format!("the destination answered for {} of {events} events", items.len());
                Answer::again(why).maybe_arrived()
            }
            Err(error) => Answer::again(format!("the answer is none of the bulk API: {error}")).maybe_arrived(),
        }
    }

    fn acknowledges(&self) -> Acknowledges {
        Acknowledges::Stored
    }
}

#[derive(Deserialize)]
struct Bulk {
    errors: bool,
    #[serde(default)]
    items: Vec<BulkItem>,
}

/// The one action of an item, by its name.
#[derive(Deserialize)]
struct BulkItem {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    error: Option<ItemError>,
}

#[derive(Deserialize)]
struct ItemError {
    /// Null for an exception without a message, as the other one may be.
    r#type: Option<String>,
    reason: Option<String>,
}

/// The documents that no request will have until someone changes something: a missing index, one that is closed to writes.
fn is_unusable(status: u16) -> bool {
    matches!(status, 401 | 403 | 404)
}

fn verdicts(items: Vec<BulkItem>, response: &HttpResponse<'_>) -> Answer {
    let why = |created: &Created| {
        let part = |text: fn(&ItemError) -> &Option<String>| {
            created.error.as_ref().and_then(|error| text(error).as_deref()).unwrap_or("no reason")
        };
        let text = format!("{} {}: {}", created.status, part(|error| &error.r#type), part(|error| &error.reason));
        response.masked(&text)
    };
    let unusable = items.iter().find(|item| is_unusable(item.create.status)).map(|item| why(&item.create));
    let doubt = items.iter().any(|item| matches!(item.create.status, 500 | 502 | 504));
    let answer = unusable.map_or_else(Answer::delivered, Answer::unusable);
    let has_rest = items.iter().any(|item| is_unusable(item.create.status));
    let answer = items.into_iter().enumerate().fold(answer, |answer, (index, item)| match item.create.status {
        // There already: an earlier request with it has arrived.
        200..=299 | 409 if has_rest => answer.except(index, Verdict::Delivered),
        200..=299 | 409 => answer,
        status if is_unusable(status) => answer,
        408 | 429 | 500.. => answer.except(index, Verdict::Again),
        _ => answer.except(index, Verdict::Rejected(why(&item.create).into())),
    });
    if doubt { answer.maybe_arrived() } else { answer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Batch, Event, EventId, Level};
    use crate::http::HttpSink;
    use crate::sink::{RequestSink, RestVerdict};

    fn answer(status: u16, body: &str, events: usize) -> Answer {
        let headers = hyper::HeaderMap::new();
        let response = HttpResponse { status, headers: &headers, body: body.as_bytes(), secrets: &[] };
        Elastic::new("logs").answer(&response, events)
    }

    #[test]
    fn each_document_is_created_under_the_id_of_its_event() {
        let events =
            vec![Event::new(Level::Info, "shop", "paid").with("n", 1), Event::new(Level::Warn, "shop", "late")];
        let batch = Batch::new(events.into(), None, EventId::first_of([7; 10]).plus(41));
        let mut body = Vec::new();
        let encoded = HttpSink::new("http://localhost", Elastic::new("logs")).encode(&batch, &mut body);
        assert_eq!(encoded.events, 2);
        let lines: Vec<serde_json::Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let ids: Vec<String> = batch.iter().map(|record| record.id().to_string()).collect();
        assert_eq!(
            (lines[0]["create"]["_id"].as_str(), lines[2]["create"]["_id"].as_str()),
            (Some(&*ids[0]), Some(&*ids[1]))
        );
        let document = &lines[1];
        assert_eq!((document["log.level"].as_str(), document["log.logger"].as_str()), (Some("INFO"), Some("shop")));
        assert_eq!((document["message"].as_str(), document["n"].as_u64()), (Some("paid"), Some(1)));
        assert!(document["@timestamp"].is_string() && lines.len() == 4);
    }

    #[test]
    fn each_document_has_its_own_answer() {
        let body = r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}},
            {"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}},
            {"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no number"}}},{"create":{"status":503}}]}"#;
        let answer = answer(200, body, 5);
        let rejected = Verdict::Rejected("400 mapper_parsing_exception: no number".into());
        assert_eq!(answer.exceptions, [(2, Verdict::Again), (3, rejected), (4, Verdict::Again)]);
        assert_eq!(answer.rest, RestVerdict::Delivered);
    }

    #[test]
    fn an_index_that_is_closed_to_writes_costs_no_document() {
        let body = r#"{"errors":true,"items":[{"create":{"status":201}},
            {"create":{"status":403,"error":{"type":"cluster_block_exception","reason":null}}},
            {"create":{"status":400,"error":null}},{"create":{"status":502}}]}"#;
        let answer = answer(200, body, 4);
        assert_eq!((answer.rest, answer.maybe_arrived), (RestVerdict::Unusable, true));
        let rejected = Verdict::Rejected("400 no reason: no reason".into());
        assert_eq!(answer.exceptions, [(0, Verdict::Delivered), (2, rejected), (3, Verdict::Again)]);
        assert!(answer.error.unwrap().into_source().to_string().contains("403 cluster_block_exception"));
    }

    #[test]
    fn what_is_no_answer_to_every_document_delivers_none() {
        assert_eq!(answer(200, r#"{"errors":false}"#, 3).rest, RestVerdict::Delivered);
        for body in [r#"{"errors":true,"items":[{"create":{"status":201}}]}"#, "", "<html>", r#"{"took":1}"#] {
            let answer = answer(200, body, 3);
            assert_eq!((answer.rest, answer.maybe_arrived), (RestVerdict::Again, true), "{body}");
        }
        assert_eq!(answer(413, "", 3).rest, RestVerdict::TooLarge);
        assert_eq!(answer(401, "", 3).rest, RestVerdict::Unusable);
    }
}
