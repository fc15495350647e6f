//! Any thread: how a caller waits, and where it cannot block.

use std::pin::pin;

use futures::future::select;
use tokio::runtime::Handle;

use super::InsideRuntimeError;
use crate::time::timer;

/// Returns when either future does; polls `a` before `b`.
pub(super) async fn race(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    select(pin!(a), pin!(b)).await;
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    timer::block_until(future, None).expect("without a limit it ends with the future, and these have deadlines")
}

pub(super) fn outside_runtime() -> Result<(), InsideRuntimeError> {
    Handle::try_current().map_or(Ok(()), |_| Err(InsideRuntimeError(())))
}
