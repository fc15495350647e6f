//! The caller's side: any thread, any executor or none.

mod error;
mod filters;

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, select};
use tokio::runtime::Handle;

pub use error::{EmitError, InsideRuntime, ReopenError};
pub use filters::SinkFilterError;

#[cfg(doc)]
use crate::Builder;
use crate::event::{Callsite, Context, Event, FieldSet, Level, ToValue};
use crate::filter::sampler::Sampler;
use crate::queue::TryEmitError;
use crate::runtime::{BoxError, Ending, Health, Home, Shared};
use crate::stats::{FlushReport, ShutdownReport, Stats};
use crate::time::timer;

/// A handle to a logger: clones are cheap and log to the same queue.
///
/// Made by [`Logger::builder`]. End it with [`Logger::shutdown`], which delivers what is pending and says what became
/// of every event. Dropping the last handle starts a shutdown in the background that nobody waits for: if the process
/// ends first, what was pending is lost and nothing says how much.
pub struct Logger {
    shared: Arc<Shared>,
    context: Option<Arc<Context>>,
}

static GLOBAL: OnceLock<Logger> = OnceLock::new();

/// The logger the macros use when they are given none.
#[doc(hidden)]
#[inline]
pub fn global() -> Option<&'static Logger> {
    GLOBAL.get()
}

impl Logger {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Logger { shared, context: None }
    }

    /// Makes this the logger of macro calls that name none. Calls before it do nothing and count nothing.
    ///
    /// The global handle is never dropped: such a logger ends only by [`Logger::shutdown`].
    ///
    /// # Errors
    /// Hands the logger back if there is a global one already.
    pub fn set_global(&self) -> Result<(), Logger> {
        GLOBAL.set(self.clone())
    }

    /// A logger whose events carry one more field, and all of this one's.
    ///
    /// The fields are encoded once, here. A name that is there already gets the new value. If the memory for contexts
    /// (at most half of the queue's byte account) is used up, events of the new logger are refused (`bytes`).
    pub fn with(&self, key: &str, value: impl ToValue) -> Logger {
        self.in_context(Context::extend(self.context.as_deref(), key, value.to_value()))
    }

    /// As [`Logger::with`], with several fields at once: `logger.with_fields(fields![user = name, attempt])`.
    pub fn with_fields(&self, fields: FieldSet) -> Logger {
        self.in_context(Context::over(&fields, self.context.as_deref()))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn in_context(&self, context: Context) -> Logger {
        let mut child = self.clone();
        child.context = Some(self.admit_context(context));
        child
    }

    /// The context with what is to be hidden masked, paid for by the queue's account if that has room.
    pub(crate) fn admit_context(&self, context: Context) -> Arc<Context> {
        self.shared.queue.admit_context(context)
    }

    /// Whether an event of this level and target would pass the filter.
    pub fn enabled(&self, level: Level, target: &str) -> bool {
        self.shared.filter.allows_target(target, level)
    }

    /// Logs an event. It never waits for I/O, a sink or room (unless the policy is
    /// [`Overflow::Block`](crate::Overflow::Block)): an event that finds no room is dealt with as the overflow policy
    /// says, and counted.
    pub fn emit(&self, event: Event) {
        if self.shared.filter.allows_event(&event) {
            self.__emit(event);
        }
    }

    /// Logs an event if there is room for it now: evicts nothing and counts no loss.
    ///
    /// An event that the filter keeps out, and one logged by a sink (which is counted as suppressed), is done with: `Ok`.
    ///
    /// # Errors
    /// Hands the event back, which is then counted nowhere.
    pub fn try_emit(&self, mut event: Event) -> Result<(), TryEmitError> {
        let context = event.context().cloned();
        if !self.shared.filter.allows_event(&event) {
            return Ok(());
        }
        // What is handed back is whole, and shows what it showed.
        let whole = self.shared.queue.hides_some_of(&event).then(|| event.clone());
        if !self.prepare(&mut event) {
            return Ok(());
        }
        let as_it_was = |event: Event| whole.unwrap_or(event).in_context(context);
        self.shared.queue.try_push(event).map_err(|refused| match refused {
            TryEmitError::Full(event) => TryEmitError::Full(as_it_was(event)),
            TryEmitError::Closed(event) => TryEmitError::Closed(as_it_was(event)),
        })
    }

    /// Logs an event, waiting for room whatever the overflow policy is. Works under any executor.
    ///
    /// Under [`Overflow::DropNewest`](crate::Overflow::DropNewest) and [`Overflow::Block`](crate::Overflow::Block) an
    /// accepted event stays in the queue; under `DropOldest` a later one may evict it.
    ///
    /// # Errors
    /// Why it was refused, after the logger was closed or if its context has no memory; such a refusal is counted.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the event is not accepted and counted nowhere.
    pub async fn emit_wait(&self, mut event: Event) -> Result<(), EmitError> {
        if !self.shared.filter.allows_event(&event) || !self.prepare(&mut event) {
            return Ok(());
        }
        self.shared.queue.push_wait(event).await.map_err(|reason| EmitError { reason })
    }

    /// Gives the event its context; whether it may enter at all.
    #[inline(always)]
    fn prepare(&self, event: &mut Event) -> bool {
        if self.shared.queue.is_special_here() {
            return self.prepare_specially(event);
        }
        if let Some(context) = &self.context {
            event.set_context(Some(context.clone()));
        }
        true
    }

    // Cold, which says where it is put: who is not here keeps the registers.
    #[cold]
    fn prepare_specially(&self, event: &mut Event) -> bool {
        self.shared.queue.prepare(event, self.context.as_ref())
    }

    #[doc(hidden)]
    #[inline]
    pub fn __enabled(&self, callsite: &'static Callsite, level: Level) -> bool {
        self.shared.filter.allows(callsite, level)
    }

    /// For a call that is sampled and has passed the filter: how many events the sampling left out since the last that
    /// passed, if this one does.
    #[doc(hidden)]
    pub fn __sampled(&self, sampler: &'static Sampler) -> Option<u64> {
        let left_out = sampler.admit();
        if left_out.is_none() {
            self.shared.queue.count_sampled();
        }
        left_out
    }

    /// For an event that has passed the filter.
    // One copy in the program, not one at each call site, which passes the event by its address.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __emit(&self, mut event: Event) {
        if !self.prepare(&mut event) {
            return;
        }
        let queue = &self.shared.queue;
        match queue.claim(&mut event) {
            Ok(place) => queue.fill(place, event),
            Err(miss) => queue.missed(event, miss),
        }
    }

    /// Waits until everything accepted before the call is settled at every sink (delivered, dropped for a reason, or
    /// unconfirmed) and each sink has flushed. Works under any executor; the timeout is kept in real time and, with
    /// [`Builder::start_on`], on that runtime's clock, whichever is first.
    ///
    /// # Cancel safety
    /// Dropping the future takes back the request at most; no event is affected.
    pub async fn flush(&self, timeout: Duration) -> FlushReport {
        let since = Instant::now();
        let request = self.shared.ask_flush(timeout);
        first(self.shared.flushed(&request), timer::at(since.checked_add(timeout))).await;
        self.shared.flush_report(&request, since)
    }

    /// As [`Logger::flush`], on this thread.
    ///
    /// # Errors
    /// [`InsideRuntime`] on a thread of a tokio runtime: blocking it could stop the very tasks it waits for.
    ///
    /// # Blocking
    /// For `timeout` at the most.
    pub fn flush_blocking(&self, timeout: Duration) -> Result<FlushReport, InsideRuntime> {
        outside_runtime()?;
        Ok(block_on(self.flush(timeout)))
    }

    /// Ends the logger: runs the shutdown hooks while events are still accepted, closes the queue, delivers what is in
    /// it, closes the sinks, and reports what became of every event.
    ///
    /// It returns by the deadline whatever the sinks do: what waits then is dropped (`deadline`), what is being written
    /// is unconfirmed. Of several calls the earliest deadline counts for all, and all get the same report.
    /// [`Duration::ZERO`] ends it at once, [`Duration::MAX`] has no deadline. Works under any executor; the deadline is
    /// kept in real time and, with [`Builder::start_on`], on that runtime's clock, whichever is first.
    ///
    /// Events logged later are refused (`closed`) and counted in [`Logger::stats`].
    ///
    /// # Cancel safety
    /// A shutdown that was begun goes on if the future is dropped; call again for the report.
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let shared = &self.shared;
        shared.shutdown.request(timeout);
        first(shared.shutdown.wait_done(), shared.shutdown.wait_deadline()).await;
        (*shared.finish(Ending::Deadline)).clone()
    }

    /// As [`Logger::shutdown`], on this thread.
    ///
    /// # Errors
    /// [`InsideRuntime`] on a thread of a tokio runtime; nothing has begun then.
    ///
    /// # Blocking
    /// For `timeout` at the most.
    pub fn shutdown_blocking(&self, timeout: Duration) -> Result<ShutdownReport, InsideRuntime> {
        outside_runtime()?;
        Ok(block_on(self.shutdown(timeout)))
    }

    /// Adds a hook that [`Logger::shutdown`] runs first, on the logger's runtime, the last one added first. What it
    /// logs is accepted. Hooks have half of the shutdown's time together; one that fails, panics or does not end is
    /// reported and counted.
    ///
    /// A hook added after the shutdown began may not run.
    pub fn on_shutdown(&self, hook: impl FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send + 'static) {
        self.shared.hooks.add(Box::new(hook));
    }

    /// Has every sink open its destination again, after something else moved it away (logrotate).
    ///
    /// # Errors
    /// Names the sinks that failed, or did not answer within the timeout, and why.
    ///
    /// # Cancel safety
    /// A reopen that was asked for happens all the same.
    pub async fn reopen(&self, timeout: Duration) -> Result<(), ReopenError> {
        let tickets: Vec<u64> = self.shared.stations.iter().map(|station| station.ask_reopen()).collect();
        first(self.reopened(&tickets), timer::at(Instant::now().checked_add(timeout))).await;
        let answers = self.shared.stations.iter().zip(&tickets).map(|(station, ticket)| {
            let answer = station.reopen_answer(*ticket).map_or(Err(None), |answer| answer.map_err(Some));
            answer.err().map(|error| (station.name().to_owned(), error))
        });
        let failed: Vec<_> = answers.flatten().collect();
        if failed.is_empty() { Ok(()) } else { Err(ReopenError { failed }) }
    }

    async fn reopened(&self, tickets: &[u64]) {
        let stations = &self.shared.stations;
        loop {
            let mut progress = pin!(self.shared.bells.progress.notified());
            progress.as_mut().enable();
            let is_answered = stations.iter().zip(tickets).all(|(station, id)| station.reopen_answer(*id).is_some());
            if is_answered || self.shared.shutdown.is_done() {
                return;
            }
            progress.await;
        }
    }

    /// Both books and every sink's numbers at this moment: a consistent snapshot.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Closes the circuit breaker of the sink of this name: its next batch is written at once. Returns whether there is
    /// such a sink.
    pub fn reset_breaker(&self, sink: &str) -> bool {
        let station = self.shared.stations.iter().find(|station| station.name() == sink);
        station.inspect(|station| station.reset_breaker()).is_some()
    }

    /// Begins a new window for the sinks' latency percentiles.
    pub fn reset_latency(&self) {
        self.shared.stations.iter().for_each(|station| station.reset_latency());
    }

    /// Where the metrics are served, with [`Builder::prometheus`].
    #[cfg(feature = "prometheus")]
    pub fn prometheus_addr(&self) -> Option<std::net::SocketAddr> {
        self.shared.prometheus_addr
    }

    /// Whether it runs, drains, or has ended.
    pub fn health(&self) -> Health {
        self.shared.health()
    }
}

/// A handle that does not keep the logger running.
pub(crate) struct WeakLogger {
    shared: Weak<Shared>,
    context: Option<Arc<Context>>,
}

impl WeakLogger {
    /// The logger, unless it has ended and nobody asks for its books any more.
    pub(crate) fn upgrade(&self) -> Option<Logger> {
        let shared = self.shared.upgrade()?;
        // Also if there is no other handle: the shutdown that the last one asked for goes on, and ours asks for the same.
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Some(Logger { shared, context: self.context.clone() })
    }
}

impl Logger {
    pub(crate) fn downgrade(&self) -> WeakLogger {
        WeakLogger { shared: Arc::downgrade(&self.shared), context: self.context.clone() }
    }

    /// The logger without its context, and the context.
    #[cfg(feature = "tracing")]
    pub(crate) fn split(&self) -> (Logger, Option<Arc<Context>>) {
        let mut bare = self.clone();
        let context = bare.context.take();
        (bare, context)
    }

    /// The least important level that passes the filter for some target, if any does.
    #[cfg(feature = "tracing")]
    pub(crate) fn lowest_level(&self) -> Option<Level> {
        Level::ALL.into_iter().find(|level| self.shared.filter.may_allow(*level))
    }

    pub(crate) fn home(&self) -> Home {
        self.shared.home
    }

    /// Emits an event that must not keep its thread longer than this, whatever the overflow policy.
    pub(crate) fn emit_within(&self, mut event: Event, most: Duration) {
        if self.shared.filter.allows_event(&event) && self.prepare(&mut event) {
            self.shared.queue.push_within(event, most);
        }
    }

    /// As [`Logger::shutdown`] for those who do not look at the report: what was lost is said, before this ends.
    #[cfg(all(unix, feature = "signal"))]
    pub(crate) async fn shutdown_unread(&self, timeout: Duration) {
        self.shared.guarded.store(true, Ordering::Relaxed);
        drop(self.shutdown(timeout).await);
        self.shared.diagnostics.settle();
    }

    /// As [`Logger::flush`], without waiting for it.
    #[cfg(feature = "log")]
    pub(crate) fn begin_flush(&self) {
        self.shared.begin_flush();
    }

    /// As [`Logger::flush`], on this thread: the caller answers for blocking it.
    pub(crate) fn flush_here(&self, timeout: Duration) -> FlushReport {
        block_on(self.flush(timeout))
    }
}

impl Clone for Logger {
    fn clone(&self) -> Self {
        // Relaxed, as in `Arc`: the new handle comes from one that is there.
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Logger { shared: self.shared.clone(), context: self.context.clone() }
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.shutdown.request(self.shared.shutdown_timeout);
        }
    }
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logger")
            .field("name", &self.shared.name)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// Ends with whichever ends first; polls `a` before `b`.
async fn first(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    select(pin!(a), pin!(b)).await;
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    timer::block_until(future, None).expect("without a limit it ends with the future, and these have deadlines")
}

fn outside_runtime() -> Result<(), InsideRuntime> {
    Handle::try_current().map_or(Ok(()), |_| Err(InsideRuntime(())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::MemorySink;
    use crate::stats::DropReason;
    use tokio::task::yield_now;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn event() -> Event {
        Event::dynamic(Level::Info, "t", "late")
    }

    fn assert_delivered(report: &ShutdownReport, memory: &MemorySink) {
        assert_eq!(report.check(), Ok(()));
        assert!(!report.timed_out, "{report}");
        assert_eq!((report.accepted, report.sinks[0].delivered, memory.total()), (1, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_between_permit_and_publication_at_close_is_delivered_on_a_current_thread_runtime() {
        let memory = MemorySink::new();
        let builder = Logger::builder().lanes(2).sink("memory", memory.clone());
        let logger = builder.start_on(&Handle::current()).expect("a good configuration");
        let permit = logger.shared.queue.permit(1);
        let mut shutdown = pin!(logger.shutdown(PATIENCE));
        // A paused clock goes on only when no task can: the flush task has done all it could.
        let early = tokio::time::timeout(Duration::from_secs(1), shutdown.as_mut()).await;
        assert!(early.is_err() && logger.shared.queue.is_closed(), "it waits for the event");
        permit.send(event());
        assert_delivered(&shutdown.await, &memory);
    }

    #[test]
    fn an_event_between_permit_and_publication_at_close_is_delivered_on_a_thread_of_the_loggers_own() {
        let memory = MemorySink::new();
        let builder = Logger::builder().lanes(2).sink("memory", memory.clone());
        let logger = builder.start().expect("a good configuration");
        let permit = logger.shared.queue.permit(1);
        let report = std::thread::scope(|scope| {
            let shutdown = scope.spawn(|| logger.shutdown_blocking(PATIENCE));
            while !logger.shared.queue.is_closed() {
                std::thread::yield_now();
            }
            assert!(!shutdown.is_finished());
            permit.send(event());
            shutdown.join().expect("no panic").expect("outside any runtime")
        });
        assert_delivered(&report, &memory);
    }

    #[cfg(feature = "log")]
    #[tokio::test(start_paused = true)]
    async fn flushes_that_nobody_waits_for_take_the_room_of_one() {
        let memory = MemorySink::new();
        let builder = Logger::builder().lanes(1).sink("memory", memory.clone());
        let logger = builder.start_on(&Handle::current()).expect("a good configuration");
        let known = || logger.shared.flushes.lock().expect("no panic").len();
        for _ in 0..100 {
            logger.emit(event());
            logger.begin_flush();
        }
        assert_eq!((known(), memory.total()), (1, 0));
        memory.wait_for(100, PATIENCE).await.expect("the flush brings them");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((known(), logger.shared.open_flushes().len()), (0, 0));
        let report = logger.shutdown(PATIENCE).await;
        assert_eq!((report.check(), report.sinks[0].delivered), (Ok(()), 100));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_published_after_the_deadline_is_in_no_report_and_the_books_still_balance() {
        let memory = MemorySink::new();
        let builder = Logger::builder().lanes(1).sink("memory", memory.clone());
        let logger = builder.start_on(&Handle::current()).expect("a good configuration");
        logger.emit(event());
        let permit = logger.shared.queue.permit(0);
        let report = logger.shutdown(Duration::from_secs(1)).await;
        assert!(report.timed_out);
        assert_eq!((report.check(), report.accepted, report.sinks[0].delivered), (Ok(()), 1, 1));
        permit.send(event());
        for _ in 0..10 {
            yield_now().await;
        }
        let stats = logger.stats();
        assert_eq!((stats.check(), stats.accepted, stats.queued), (Ok(()), 2, 0));
        assert_eq!(stats.sinks[0].dropped.get(DropReason::Deadline), 1, "and from then on it is counted");
        assert_eq!(logger.shutdown(PATIENCE).await, report);
    }
}
