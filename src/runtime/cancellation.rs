//! The flush task: a service's cancellation, and how long the logger keeps accepting after it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// A service's cancellation.
pub(crate) struct Cancellation {
    pub(crate) token: CancellationToken,
    /// How long the logger keeps accepting events after it.
    pub(crate) grace: Duration,
}

pub(super) async fn cancelled(cancel: &Option<Cancellation>) {
    match cancel {
        Some(cancel) => cancel.token.cancelled().await,
        None => std::future::pending().await,
    }
}
