//! A sink task, a spool task: what they ask of the store beside appends and reads, and how they change the account.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::account::SpoolAccount;
use crate::context::contain::contain_future;
use crate::event::Batch;
use crate::pipeline::destination::Failure;
use crate::pipeline::handle::SinkHandle;
use crate::pipeline::state::{Barrier, SinkState};
use crate::sink::SinkError;
use crate::spool::SpoolStore;

/// Makes durable what is in the spool, and what is settled of it.
pub(in crate::pipeline) async fn sync(
    handle: &SinkHandle,
    store: Arc<dyn SpoolStore>,
    limit: Duration,
) -> Result<(), Failure> {
    let appends = handle.with_spool(|_, state| state.awaited.ended_appends());
    sync_appends(handle, &*store, limit, appends).await
}

/// The same, for callers that wait for what these appends have appended.
pub(super) async fn sync_appends(
    handle: &SinkHandle,
    store: &dyn SpoolStore,
    limit: Duration,
    appends: Option<u64>,
) -> Result<(), Failure> {
    let synced = call(handle, store, store.sync(), limit).await;
    if let (Ok(()), Some(appends)) = (&synced, appends) {
        handle.with_spool(|_, state| state.awaited.end_sync(appends));
    }
    synced
}

/// The same, after which nothing is appended.
pub(in crate::pipeline) async fn close(
    handle: &SinkHandle,
    store: Arc<dyn SpoolStore>,
    limit: Duration,
) -> Result<(), Failure> {
    call(handle, &*store, store.close(), limit).await
}

async fn call(
    handle: &SinkHandle,
    store: &dyn SpoolStore,
    call: impl Future<Output = Result<(), SinkError>>,
    limit: Duration,
) -> Result<(), Failure> {
    let progress = handle.with_spool(|spool, _| spool.progress());
    let synced = contain_future(async {
        progress.into_iter().for_each(|progress| store.advance(progress));
        call.await
    });
    match timeout(limit, synced).await {
        Ok(Ok(synced)) => synced.map_err(Failure::new),
        Ok(Err(panicked)) => Err(panicked.into()),
        Err(_) => Err(Failure::new(SinkError::timed_out("sync of the spool", limit))),
    }
}

/// The spool's side of a handle.
impl SinkHandle {
    /// Changes the account of the spool, and the counters with it, unless they are sealed or there is none. Meanwhile the state
    /// is without it.
    pub(in crate::pipeline) fn with_spool<T>(
        &self,
        change: impl FnOnce(&mut SpoolAccount, &mut SinkState) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        let mut spool = state.spool.take()?;
        let changed = (!state.is_sealed).then(|| change(&mut spool, &mut state));
        state.spool = Some(spool);
        state.check_spool();
        let ended = state.awaited.take_changed();
        drop(state);
        ended.iter().for_each(|ticket| ticket.wake());
        changed
    }

    /// Ends the deliveries of what is in the spool, where it stays.
    pub(in crate::pipeline) fn stop_spool(&self) {
        let gone: Option<Vec<Batch>> = self.with_spool(|spool, state| spool.stop(&mut state.backlog));
        drop(gone);
        // What the store has no room for is to be delivered from the memory, which has some.
        self.spool_wake.notify_one();
        self.config.env.notifiers.sink_ready.notify_one();
    }

    pub(super) fn covered_barrier(&self) -> Option<Arc<Barrier>> {
        let state = self.state();
        if state.is_sealed { None } else { state.covered_barrier() }
    }

    /// Whether events wait that are in no spool.
    pub(super) fn has_unappended(&self) -> bool {
        self.state().front().is_some()
    }

    /// Whether the sink was closed, or the counters are sealed.
    pub(super) fn is_closed(&self) -> bool {
        let state = self.state();
        state.closed.is_some() || state.is_sealed
    }
}
