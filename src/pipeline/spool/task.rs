//! A spool task: appends waiting batches, and reads back what the sink gets next.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::account::SpoolAccount;
use super::sync::sync_appends;
use crate::context::contain::{Panicked, contain, contain_future};
use crate::pipeline::WhenFull;
use crate::pipeline::destination::Failure;
use crate::pipeline::handle::SinkHandle;
use crate::pipeline::state::SinkState;
use crate::sink::SinkError;
use crate::spool::{AppendError, SpoolStore, Stored};
use crate::stats::DropReason;

/// After a call that failed, the next one.
const PAUSE: Duration = Duration::from_secs(1);

type AppendResult = Result<Result<(), AppendError>, Panicked>;
type ReadResult = Result<Result<Option<Stored>, SinkError>, Panicked>;

/// Appends and reads until the sink is closed. Returns whether it was: if the task panics, the waiting events are dropped.
pub(in crate::pipeline) async fn run_task(
    handle: Arc<SinkHandle>,
    store: Arc<dyn SpoolStore>,
    limit: Duration,
) -> bool {
    let task = SpoolTask {
        handle: handle.clone(),
        store,
        limit,
        append: None,
        read: None,
        sync: None,
        has_last_sync: false,
        no_sync_before: None,
    };
    let is_closed = contain_future(task.run()).await.is_ok();
    if !is_closed {
        handle.fail(DropReason::Panicked);
    }
    is_closed
}

struct SpoolTask {
    handle: Arc<SinkHandle>,
    store: Arc<dyn SpoolStore>,
    /// How long an append may take before its events are offered to the sink.
    limit: Duration,
    append: Option<RunningAppend>,
    read: Option<RunningRead>,
    /// For callers that wait for the disk; and once, as the logger ends: all is durable before the last deliveries.
    sync: Option<BoxFuture<'static, Result<(), Failure>>>,
    has_last_sync: bool,
    /// After one that failed.
    no_sync_before: Option<Instant>,
}

struct RunningAppend {
    running: BoxFuture<'static, AppendResult>,
    limit: Limit,
}

struct RunningRead {
    running: BoxFuture<'static, ReadResult>,
    range: Range<u64>,
    limit: Limit,
}

/// Until when a call is in time.
#[derive(Clone, Copy)]
enum Limit {
    /// `None`: for ever.
    Until(Option<Instant>),
    Passed,
}

impl Limit {
    fn at(self) -> Option<Instant> {
        match self {
            Limit::Until(at) => at,
            Limit::Passed => None,
        }
    }

    fn has_passed(self) -> bool {
        matches!(self, Limit::Passed)
    }
}

enum Step {
    Appended(AppendResult),
    AppendIsLate,
    Read(ReadResult),
    ReadIsLate,
    Synced(Result<(), Failure>),
    Woken,
}

impl SpoolTask {
    async fn run(mut self) {
        let handle = self.handle.clone();
        loop {
            self.begin();
            if handle.is_closed() {
                return;
            }
            let append_late_at = self.append.as_ref().and_then(|append| append.limit.at());
            let read_late_at = self.read.as_ref().and_then(|read| read.limit.at());
            let again_at = handle.with_spool(|spool, _| spool.next_read().into_iter().chain(spool.next_append()).min());
            let step = tokio::select! {
                biased;
                appended = running(self.append.as_mut().map(|append| &mut append.running)) => Step::Appended(appended),
                read = running(self.read.as_mut().map(|read| &mut read.running)) => Step::Read(read),
                () = until(append_late_at) => Step::AppendIsLate,
                () = until(read_late_at) => Step::ReadIsLate,
                () = handle.spool_wake.notified() => Step::Woken,
                synced = running(self.sync.as_mut()) => Step::Synced(synced),
                () = until(again_at.flatten()) => Step::Woken,
                () = until(self.no_sync_before) => Step::Woken,
            };
            match step {
                Step::Appended(appended) => {
                    let is_late = self.append.take().is_some_and(|append| append.limit.has_passed());
                    self.end_append(appended, is_late);
                }
                Step::Read(read) => {
                    if let Some(RunningRead { range, .. }) = self.read.take() {
                        self.end_read(read, range);
                    }
                }
                Step::AppendIsLate => {
                    self.append.iter_mut().for_each(|append| append.limit = Limit::Passed);
                    self.record_timeout("append to the spool");
                    handle.with_spool(|spool, _| spool.bypass(true));
                }
                Step::ReadIsLate => {
                    self.read.iter_mut().for_each(|read| read.limit = Limit::Passed);
                    self.record_timeout("read of the spool");
                }
                Step::Synced(synced) => {
                    self.sync = None;
                    self.no_sync_before = synced.is_err().then(|| Instant::now() + PAUSE);
                    synced.err().iter().for_each(|failure| handle.record_error(0, failure));
                }
                Step::Woken => {}
            }
            if let Some(error) = contain(|| self.store.take_error()).ok().flatten() {
                handle.record_error(0, &Failure::new(error));
            }
            // What has changed is news for the sink task, and room for the flush task.
            handle.wake.notify_one();
            handle.config.env.notifiers.sink_ready.notify_one();
        }
    }

    /// Begins what can begin.
    fn begin(&mut self) {
        let progress = self.handle.with_spool(|spool, _| spool.take_progress()).flatten();
        if let Some(progress) = progress {
            contain(|| self.store.advance(progress)).unwrap_or_default();
        }
        let bypassed = self.handle.with_spool(|spool, state| spool.bypass_late(&mut state.backlog));
        if bypassed.is_some_and(|events| events > 0) {
            self.handle.wake.notify_one();
        }
        let now = Instant::now();
        let begin_append = |spool: &mut SpoolAccount, state: &mut SinkState| {
            let batches = spool.begin_append(&mut state.backlog, now)?;
            state.awaited.begin_append(&batches);
            Some(batches)
        };
        if self.append.is_none()
            && let Some(batches) = self.handle.with_spool(begin_append).flatten()
        {
            let (store, limit) = (self.store.clone(), Limit::Until(Instant::now().checked_add(self.limit)));
            let running = async move { contain_future(async { store.append(&batches).await }).await };
            self.append = Some(RunningAppend { running: running.boxed(), limit });
        }
        self.begin_sync(now);
        if self.read.is_none()
            && let Some(range) = self.handle.with_spool(|spool, state| spool.begin_read(&state.backlog, now)).flatten()
        {
            let (store, positions) = (self.store.clone(), range.clone());
            let running = async move { contain_future(async { store.read(positions).await }).await };
            let limit = Limit::Until(now.checked_add(self.limit));
            self.read = Some(RunningRead { running: running.boxed(), range, limit });
        }
        // At the end none waits for what cannot be read now: it is safe where it is.
        let is_read_late = self.read.as_ref().is_some_and(|read| read.limit.has_passed());
        let waits = |spool: &mut SpoolAccount, _: &mut SinkState| spool.waits_for_read(is_read_late);
        if self.handle.with_spool(waits).unwrap_or(false) && self.handle.is_draining() {
            self.handle.stop_spool();
            self.handle.wake.notify_one();
        }
    }

    /// Begins a synchronization, if one is needed: one at a time, so that it serves all who wait by then. It completes a flush
    /// too that the sink task is too busy for.
    fn begin_sync(&mut self, now: Instant) {
        self.no_sync_before.take_if(|from| *from <= now);
        if self.sync.is_some() {
            return;
        }
        let handle = self.handle.clone();
        let is_last = self.append.is_none() && !self.has_last_sync && handle.is_closing() && !handle.has_unappended();
        let may_sync = self.no_sync_before.is_none();
        let is_awaited = may_sync && handle.with_spool(|_, state| state.awaited.needs_sync()) == Some(true);
        let flush = handle.covered_barrier();
        if !is_last && !is_awaited && flush.is_none() {
            return;
        }
        self.has_last_sync |= is_last;
        let (store, limit) = (self.store.clone(), self.limit);
        // The store gets this call after that of the append that is running, which is polled first.
        let appends = handle.with_spool(|_, state| state.awaited.begin_sync());
        let sync = async move {
            let synced = sync_appends(&handle, &*store, limit, appends).await;
            if is_last && synced.is_ok() {
                handle.with_spool(|spool, _| spool.set_safe());
            }
            if let Some(flush) = flush {
                handle.complete_flush(&flush, synced.as_ref().err());
            }
            synced
        };
        self.sync = Some(sync.boxed());
    }

    fn record_timeout(&self, call: &str) {
        self.handle.record_error(0, &Failure::new(SinkError::timed_out(call, self.limit)));
    }

    fn end_append(&self, appended: AppendResult, is_late: bool) {
        let handle = &self.handle;
        let error = match appended {
            Ok(Ok(())) => {
                let gone = handle.with_spool(|spool, state| {
                    let (events, gone) = match is_late {
                        true => spool.accept_late_append(&mut state.backlog, &mut state.awaited),
                        false => spool.end_append(&mut state.backlog, &state.awaited),
                    };
                    state.awaited.end_append(true);
                    state.ledger.spool(events);
                    gone
                });
                return drop(gone);
            }
            Ok(Err(AppendError::Full { removable, error })) => {
                error.into_iter().for_each(|error| handle.record_error(0, &Failure::new(error)));
                if !is_late {
                    return self.make_room(&removable);
                }
                None
            }
            Ok(Err(AppendError::Failed(error))) => Some(error),
            Err(panicked) => Some(SinkError::panicked(panicked)),
        };
        if let Some(error) = error {
            handle.record_error(0, &Failure::new(error));
        }
        let gone = handle.with_spool(|spool, state| {
            state.awaited.end_append(false);
            if is_late {
                return spool.end_late_append();
            }
            spool.bypass(false);
            Vec::new()
        });
        drop(gone);
    }

    /// Makes room in the store, if that is the policy and something can be dropped; otherwise the batches wait.
    fn make_room(&self, removable: &[Range<u64>]) {
        let drops_oldest = self.handle.config.when_full == WhenFull::DropOldest;
        let mut gone = Vec::new();
        self.handle.with_spool(|spool, state| {
            state.awaited.end_append(false);
            let lost = drops_oldest.then(|| spool.drop_oldest(removable, &mut state.backlog, &mut gone)).flatten();
            if let Some(lost) = lost {
                state.ledger.drop_spooled(DropReason::SpoolFull, lost);
            }
            let pause = if lost.is_some() { Duration::ZERO } else { PAUSE };
            spool.defer_append(Instant::now() + pause, lost.is_some());
        });
    }

    fn end_read(&self, read: ReadResult, range: Range<u64>) {
        let handle = &self.handle;
        let stored = match read {
            Ok(Ok(stored)) => stored,
            failed => {
                let error = match failed {
                    Ok(failed) => failed.err(),
                    Err(panicked) => Some(SinkError::panicked(panicked)),
                };
                error.into_iter().for_each(|error| handle.record_error(0, &Failure::new(error)));
                let again_at = Instant::now() + PAUSE;
                handle.with_spool(|spool, _| spool.end_failed_read(again_at));
                return;
            }
        };
        // Under the rules of now: those of then may have been others.
        let stored = stored.map(|stored| match &handle.config.env.redactor {
            Some(redactor) if handle.with_spool(|spool, _| spool.is_recovered(stored.first)) == Some(true) => {
                Stored { batch: stored.batch.redacted(redactor), ..stored }
            }
            _ => stored,
        });
        let mut gone = Vec::new();
        handle.with_spool(|spool, state| {
            let lost = spool.end_read(range, stored, &mut state.backlog, &mut gone);
            state.ledger.drop_spooled(DropReason::SpoolCorrupt, lost);
        });
    }
}

async fn running<T>(future: Option<&mut BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
