//! A service thread: the page of the metrics, shared for a short time, and the answers to requests.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tokio::time::Instant;

use crate::observe::exporter;
use crate::runtime::BoxError;

/// How long scrapes get the same page.
const SHARED_FOR: Duration = Duration::from_millis(200);

/// Renders the page, and receives the endpoint's errors.
pub(super) trait PageSource: Send + Sync + 'static {
    /// Returns a new page; `None` if there is nothing to show any more.
    fn render(&self) -> Option<String>;
    fn report(&self, error: BoxError);
}

pub(super) struct Page<S> {
    source: S,
    // A std lock: one thread uses it.
    shared: Mutex<Option<(Instant, Bytes)>>,
    /// The last rendering panicked.
    is_failing: AtomicBool,
}

impl<S: PageSource> Page<S> {
    pub(super) fn new(source: S) -> Self {
        Page { source, shared: Mutex::new(None), is_failing: AtomicBool::new(false) }
    }

    pub(super) fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if path != "/metrics" {
            *response.status_mut() = StatusCode::NOT_FOUND;
            *response.body_mut() = "the metrics are at /metrics\n".into();
        } else if !matches!(*method, Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        } else if let Some(text) = self.text() {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(exporter::CONTENT_TYPE));
            *response.body_mut() = text.into();
        } else {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    /// Returns the page of a moment ago, or a new one; `None` if there is none. A panic is reported once, until
    /// rendering succeeds again.
    fn text(&self) -> Option<Bytes> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = shared.as_ref().filter(|(since, _)| since.elapsed() < SHARED_FOR) {
            return Some(text.clone());
        }
        let rendered = catch_unwind(AssertUnwindSafe(|| self.source.render()));
        let was_failing = self.is_failing.swap(rendered.is_err(), Ordering::Relaxed);
        match rendered {
            Ok(text) => {
                let text = Bytes::from(text?);
                *shared = Some((Instant::now(), text.clone()));
                Some(text)
            }
            Err(payload) => {
                if !was_failing {
                    self.source.report(panic_error(&*payload));
                }
                None
            }
        }
    }
}

/// Returns the error of a panic with this payload.
pub(super) fn panic_error(payload: &(dyn Any + Send)) -> BoxError {
    let message = payload.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| payload.downcast_ref::<&str>().copied());
    format!("panicked: {}", message.unwrap_or("no message")).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use tokio::time::advance;

    use super::*;

    /// Numbers its pages; panics as long as the flag is set.
    #[derive(Clone, Default)]
    struct Numbered {
        pages: Arc<AtomicUsize>,
        panics: Arc<AtomicBool>,
        reports: Arc<Mutex<Vec<String>>>,
    }

    impl PageSource for Numbered {
        fn render(&self) -> Option<String> {
            assert!(!self.panics.load(Ordering::Relaxed), "scripted");
            Some(format!("page {}", self.pages.fetch_add(1, Ordering::Relaxed)))
        }

        fn report(&self, error: BoxError) {
            self.reports.lock().unwrap().push(error.to_string());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_shared_for_200_ms() {
        let page = Page::new(Numbered::default());
        assert_eq!((page.text().unwrap(), page.text().unwrap()), ("page 0".into(), "page 0".into()));
        advance(SHARED_FOR - Duration::from_millis(1)).await;
        assert_eq!(page.text().unwrap(), "page 0");
        advance(Duration::from_millis(1)).await;
        assert_eq!(page.text().unwrap(), "page 1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_while_rendering_is_an_answer_and_is_reported_once_until_rendering_works_again() {
        let source = Numbered::default();
        let page = Page::new(source.clone());
        let status = || page.answer(&Method::GET, "/metrics").status();
        for (panics, expected, reports) in [(true, 503, 1), (true, 503, 1), (false, 200, 1), (true, 503, 2)] {
            source.panics.store(panics, Ordering::Relaxed);
            assert_eq!((status().as_u16(), source.reports.lock().unwrap().len()), (expected, reports));
            advance(SHARED_FOR).await;
        }
        assert!(source.reports.lock().unwrap()[0].contains("scripted"));
    }
}
