//! Any thread: how a caller waits, and where it cannot block.

use std::pin::pin;

use futures::future::select;
use tokio::runtime::Handle;

use super::InsideRuntimeError;
use crate::context::contain::contain_waker;
use crate::time::timer;

/// Returns when either future does; polls `a` before `b`. The caller's waker is foreign.
pub(super) async fn race(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    contain_waker(select(pin!(a), pin!(b))).await;
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    timer::block_until(future, None).expect("without a limit it ends with the future, and these have deadlines")
}

pub(super) fn outside_runtime() -> Result<(), InsideRuntimeError> {
    Handle::try_current().map_or(Ok(()), |_| Err(InsideRuntimeError(())))
}
