//! Any thread: runs foreign code so that neither its panic nor what it logs gets further.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures::FutureExt;

use super::suppress::{SuppressGuard, suppress};

/// The message of a caught panic.
#[derive(Debug)]
pub(crate) struct Panicked(pub(crate) String);

impl Panicked {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "a panic without a message".to_owned(),
        };
        // The payload is foreign too: its destructor may panic.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(second);
        }
        Panicked(message)
    }
}

/// Calls foreign code on this thread: what it logs is suppressed, and its panic is returned.
pub(crate) fn contain<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    let _scope = SuppressGuard::enter();
    catch_unwind(AssertUnwindSafe(call)).map_err(Panicked::new)
}

/// Polls a foreign future: what it logs is suppressed, and its panic is returned.
///
/// # Cancel safety
/// That of the future; if its destructor may panic, the code that drops it has to [`contain`] that.
pub(crate) async fn contain_future<F: Future>(future: F) -> Result<F::Output, Panicked> {
    suppress(AssertUnwindSafe(future).catch_unwind()).await.map_err(Panicked::new)
}

/// A waker whose panic goes no further: among those that are woken together, it would take the turn of the others.
struct ContainedWaker(Waker);

impl Wake for ContainedWaker {
    fn wake(self: Arc<Self>) {
        contain(|| self.0.wake_by_ref()).unwrap_or_default();
    }
}

/// Polls a future of ours, for a caller whose waker is foreign.
///
/// # Cancel safety
/// That of the future.
pub(crate) async fn contain_waker<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let waker = Waker::from(Arc::new(ContainedWaker(cx.waker().clone())));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any("the destructor");
        }
    }

    #[test]
    fn a_panic_whose_payload_panics_too_is_returned() {
        let panicked = contain(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(panicked.0, "a panic without a message");
    }
}
