//! A sink task: performs one action after another. The follow-up of a failed write is decided here, and only here.
//!
//! The order is fixed: the breaker is queried, the sink has its timeout, temporary errors are retried, rejected batches
//! are bisected to find the bad event. What the sink does not take goes to the fallback chain, or is dropped for the
//! reason it was not taken.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, timeout};

use super::action::{Step, Taken};
use super::fallback::{Chain, Link};
use super::ledger::{Fate, Outlet};
use super::load::{Bisected, Load};
use super::notice::{Audience, Notice};
use super::retry::{Backoff, Retry};
use super::station::Station;
use crate::context::suppress::suppress;
use crate::event::Batch;
use crate::sink::{Sink, SinkError, SinkErrorKind};
use crate::stats::DropReason;

/// What a sink task owns.
pub(crate) struct Line {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) retry: Retry,
    /// Tried in this order.
    pub(crate) fallbacks: Vec<Link>,
}

/// Delivers until the sink is closed.
pub(crate) async fn deliver(station: Arc<Station>, line: Line) {
    let Line { sink, retry, fallbacks } = line;
    let chain = Chain::new(&station, fallbacks);
    let mut courier = Courier { station: &station, sink, chain, backoff: Backoff::new(retry), is_dead: false };
    loop {
        let step = tokio::select! {
            biased;
            () = courier.chain.late_answer() => continue,
            step = station.next() => step,
        };
        match step {
            Step::Write(taken) => courier.carry(&taken).await,
            Step::Tell(notice) => courier.tell(&notice).await,
            Step::Flush(barrier) => station.flushed(barrier, courier.call_all(Call::Flush).await),
            Step::Reopen(ticket) => station.reopened(ticket, courier.call_all(Call::Reopen).await),
            Step::Close => return courier.close().await,
        }
    }
}

struct Courier<'a> {
    station: &'a Station,
    sink: Box<dyn Sink>,
    chain: Chain<'a>,
    backoff: Backoff,
    /// The sink reported that it is unusable, so no batch waits for it.
    is_dead: bool,
}

/// Where the next piece goes.
enum Way {
    ToSink,
    /// To the fallback chain; dropped for this reason if no link takes it.
    Around(DropReason),
}

/// A call of a sink.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Write,
    Flush,
    Reopen,
    Close,
}

impl Courier<'_> {
    /// Delivers a batch, or counts its loss.
    async fn carry(&mut self, taken: &Taken) {
        self.backoff.reset();
        let mut load = Load::new(taken.batch.clone());
        while load.first().is_some() {
            match self.way().await {
                Way::ToSink => self.write(&mut load).await,
                Way::Around(reason) => self.chain.take_all(&mut load, reason).await,
            }
        }
        self.station.release(taken);
    }

    fn is_fallbacks_turn(&self) -> bool {
        self.station.is_endgame() && self.chain.can_take()
    }

    /// Like [`Station::pause_until`], but also collects late results of links.
    async fn pause_until(&mut self, when: Instant) {
        let mut pause = pin!(self.station.pause_until(when));
        loop {
            tokio::select! {
                biased;
                () = &mut pause => return,
                () = self.chain.late_answer() => {}
            }
        }
    }

    /// Queries the breaker; waits while it is open and no fallback is available.
    async fn way(&mut self) -> Way {
        loop {
            if self.is_fallbacks_turn() {
                return Way::Around(DropReason::Deadline);
            }
            let Err(probe_at) = self.station.circuit(|circuit, now| circuit.ask(now)) else { return Way::ToSink };
            let expiry = self.backoff.expiry().unwrap_or(probe_at);
            if self.is_dead || self.chain.can_take() || expiry <= Instant::now() {
                return Way::Around(DropReason::BreakerOpen);
            }
            tokio::select! {
                () = self.station.pause_until(probe_at.min(expiry)) => {}
                // A link is available again and may take the waiting batch.
                () = self.chain.late_answer() => {}
            }
        }
    }

    /// Has the sink write the first piece, and handles the result.
    async fn write(&mut self, load: &mut Load) {
        let Some(answer) = self.ask_sink(load).await else {
            self.is_dead = false;
            self.station.circuit(|circuit, now| circuit.fail(now));
            return self.again_or_around(load, None).await;
        };
        let len = load.first().map_or(0, |piece| piece.batch.len());
        let delivered = answer.as_ref().map_or_else(|error| error.delivered().min(len), |()| len);
        load.delivered(delivered);
        self.station.settle(delivered, Fate::Delivered, load.doubtful());
        if delivered > 0 {
            self.backoff.reset();
        }
        match answer {
            Ok(()) => self.answered(),
            // No event of the piece is left; the next piece has not been written.
            Err(error) if delivered == len => self.grumbled(error.kind()),
            Err(error) => self.failed(load, &error).await,
        }
    }

    /// The sink works.
    fn answered(&mut self) {
        self.is_dead = false;
        self.station.circuit(|circuit, _| circuit.succeed());
    }

    /// The sink delivered the whole piece and returned an error nevertheless.
    fn grumbled(&mut self, kind: SinkErrorKind) {
        match kind {
            SinkErrorKind::Rejected => self.answered(),
            SinkErrorKind::Permanent => {
                self.is_dead = true;
                self.station.circuit(|circuit, now| circuit.trip(now));
            }
            SinkErrorKind::Temporary | SinkErrorKind::Timeout | SinkErrorKind::Panic => {
                self.station.circuit(|circuit, now| circuit.fail(now));
            }
        }
    }

    async fn failed(&mut self, load: &mut Load, error: &SinkError) {
        // A temporary error does not make the sink unusable: later batches wait for it again.
        self.is_dead = error.kind() == SinkErrorKind::Permanent;
        match error.kind() {
            SinkErrorKind::Rejected => {
                // A rejection is no failure of the sink.
                self.answered();
                self.bisect(load, DropReason::Rejected).await;
            }
            SinkErrorKind::Panic => {
                if !std::mem::replace(&mut load.has_panicked, true) {
                    self.station.circuit(|circuit, now| circuit.fail(now));
                }
                self.bisect(load, DropReason::Panicked).await;
            }
            SinkErrorKind::Permanent => {
                self.grumbled(SinkErrorKind::Permanent);
                self.chain.take_all(load, DropReason::SinkFailed).await;
            }
            SinkErrorKind::Temporary | SinkErrorKind::Timeout => {
                self.station.circuit(|circuit, now| circuit.fail(now));
                self.again_or_around(load, error.retry_after()).await;
            }
        }
    }

    /// Has a notice written, once: if it cannot be written, its counts move to the next one.
    async fn tell(&mut self, notice: &Notice) {
        let by = match notice.audience {
            Audience::Sink => self.tell_by_sink(notice.batch.clone()).await.then_some(Outlet::Sink),
            Audience::Fallback => self.chain.tell(notice).await,
        };
        self.station.told(notice, by);
    }

    async fn tell_by_sink(&mut self, lines: Batch) -> bool {
        let len = lines.len();
        let answer = self.ask_sink(&mut Load::notice(lines)).await;
        // The result of a notice says little about the next batch. But if the notice's own timeout opened the breaker,
        // its late result is the probe.
        if matches!(answer, Some(Ok(()))) && self.station.circuit(|circuit, _| circuit.is_open()) {
            self.answered();
        }
        answer.is_some_and(|answer| answer.map_or_else(|error| error.delivered() >= len, |()| true))
    }

    /// Halves a piece that the sink does not accept, down to the bad event.
    async fn bisect(&mut self, load: &mut Load, reason: DropReason) {
        match load.rejected() {
            Bisected::Halved => {}
            Bisected::Poison => {
                if let Some(poison) = load.take_first() {
                    self.chain.take(poison, load.doubtful(), reason).await;
                }
            }
            Bisected::All => self.chain.take_all(load, reason).await,
        }
    }

    /// Waits for the next attempt, if there is one.
    async fn again_or_around(&mut self, load: &mut Load, hint: Option<Duration>) {
        let Some(first) = load.first() else { return };
        first.is_retry = true;
        match self.backoff.after_failure(Instant::now(), hint) {
            None => self.chain.take_all(load, DropReason::RetriesExhausted).await,
            // The rest of the shutdown's time is the fallback's.
            Some(_) if self.is_fallbacks_turn() => {}
            // An open breaker has its own time for the next attempt: the probe, which the retry must not delay.
            Some(_) if hint.is_none() && self.station.circuit(|circuit, _| circuit.is_open()) => {}
            Some(next) => self.pause_until(next).await,
        }
    }

    /// Has the sink write the first piece. `None`: the write timed out and its future was dropped, so no result will
    /// come.
    async fn ask_sink(&mut self, load: &mut Load) -> Option<Result<(), Arc<SinkError>>> {
        let others = load.doubtful_others();
        let piece = load.first()?;
        let len = piece.events();
        let maybe_duplicated = if piece.is_doubtful { len as u64 } else { 0 };
        self.station.begin_write(others + len as u64, piece.is_retry, maybe_duplicated).await;
        let started = Instant::now();
        let outlives_timeout = self.sink.outlives_timeout();
        let answer = {
            let mut write = pin!(guarded(async { self.sink.write(&piece.batch).await }));
            let in_time = tokio::select! {
                biased;
                answer = timeout(self.station.timeout(), &mut write) => answer.ok(),
                () = self.station.endgame(), if self.chain.can_take() => None,
            };
            match in_time {
                Some(answer) => Some(answer),
                None if outlives_timeout => {
                    // The write continues on its own thread: its late result settles the events after all, and is the
                    // probe. A second write before it would mix the two.
                    self.station.timed_out("write");
                    self.station.settle(len, Fate::Unconfirmed, others);
                    self.station.circuit(|circuit, now| circuit.trip(now));
                    let late = self.chain.meanwhile(write).await;
                    self.station.reclaim(len, others + len as u64);
                    Some(late)
                }
                None => {
                    self.station.timed_out("write");
                    piece.is_doubtful = true;
                    None
                }
            }
        };
        let answer = answer?.map_err(Arc::new);
        self.station.answered(piece, &answer, started.elapsed(), self.sink.written_bytes());
        self.hear_trouble();
        Some(answer)
    }

    /// Collects the sink's background error, if there is one.
    fn hear_trouble(&mut self) {
        if let Some(trouble) = self.sink.take_error() {
            self.station.troubled(&Arc::new(trouble));
        }
    }

    /// Calls the sink and every link. Returns the first error.
    async fn call_all(&mut self, call: Call) -> Result<(), Arc<SinkError>> {
        let result = self.call(call).await;
        let links = self.chain.call_all(call).await;
        result.and(links).map_err(Arc::new)
    }

    /// Closes the sink, then the links; the last notice to the links' readers is written in between.
    async fn close(&mut self) {
        let result = self.call(Call::Close).await;
        if let Some(notice) = self.station.last_notice() {
            self.tell(&notice).await;
        }
        let links = self.chain.call_all(Call::Close).await;
        self.station.closed(result.and(links).map_err(Arc::new), self.sink.written_bytes());
    }

    /// Calls the sink.
    async fn call(&mut self, call: Call) -> Result<(), SinkError> {
        let answer = self.make(call).await;
        self.hear_trouble();
        answer
    }

    async fn make(&mut self, call: Call) -> Result<(), SinkError> {
        let outlives_timeout = self.sink.outlives_timeout();
        let nothing = Batch::default();
        let mut made = pin!(guarded(call.make(&mut *self.sink, &nothing)));
        match timeout(self.station.timeout(), &mut made).await {
            Ok(answer) => answer,
            // Like a write: the next call would have to wait for this one's result anyway.
            Err(_) if outlives_timeout => {
                self.station.timed_out(call.name());
                self.station.circuit(|circuit, now| circuit.trip(now));
                let late = self.chain.meanwhile(made).await;
                if late.is_ok() {
                    self.station.circuit(|circuit, _| circuit.succeed());
                }
                late
            }
            Err(_) => Err(SinkError::timed_out(call.name(), self.station.timeout())),
        }
    }
}

impl Call {
    pub(super) fn name(self) -> &'static str {
        match self {
            Call::Write => "write",
            Call::Flush => "flush",
            Call::Reopen => "reopen",
            Call::Close => "close",
        }
    }

    /// Makes the call; `batch` is what a write writes.
    pub(super) async fn make(self, sink: &mut dyn Sink, batch: &Batch) -> Result<(), SinkError> {
        match self {
            Call::Write => sink.write(batch).await,
            Call::Flush => sink.flush().await,
            Call::Reopen => sink.reopen().await,
            Call::Close => sink.close().await,
        }
    }
}

/// Suppresses what the sink logs and returns its panic as an error. The call itself must be inside the future: a sink
/// written without `async` may panic before there is a future.
pub(super) async fn guarded(future: impl Future<Output = Result<(), SinkError>>) -> Result<(), SinkError> {
    match suppress(AssertUnwindSafe(future).catch_unwind()).await {
        Ok(answer) => answer,
        Err(payload) => Err(SinkError::panicked(payload)),
    }
}
