//! A sink task: the chain of fallback sinks, which take the events the first sink does not.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::action::{Around, Taken};
use super::delivery::{Call, guarded};
use super::ledger::{Fate, Outlet};
use super::load::{Load, Piece};
use super::notice::Notice;
use super::station::Station;
use crate::event::Batch;
use crate::sink::{Sink, SinkError};
use crate::stats::DropReason;

type Answer = Result<(), SinkError>;

/// One link of the chain.
pub(crate) struct Link {
    // A tokio lock: a call owns its sink for as long as it runs, even after its timeout. No task ever waits for the
    // lock.
    sink: Arc<Mutex<Box<dyn Sink>>>,
    timeout: Duration,
    outlives_timeout: bool,
    /// A call that is still running after its timeout. No other is made before it returns.
    late: Option<Late>,
}

struct Late {
    call: BoxFuture<'static, Answer>,
    /// The number of events it writes.
    len: usize,
}

/// Events counted as unconfirmed that late results of these links may still settle.
struct Claim {
    links: Vec<usize>,
    /// How many: the last ones of each link's write.
    events: usize,
    /// Writes of them that have not returned, or never will.
    doubts: usize,
    /// The reason for the drop if no link delivered them.
    reason: DropReason,
}

impl Link {
    pub(crate) fn new(sink: Box<dyn Sink>, timeout: Duration) -> Self {
        let outlives_timeout = sink.outlives_timeout();
        Link { sink: Arc::new(Mutex::new(sink)), timeout, outlives_timeout, late: None }
    }

    /// Makes a call with the link's timeout. `None`: it timed out; its future was dropped or is still running.
    async fn call(&mut self, call: Call, batch: Batch) -> Option<Answer> {
        let (sink, len) = (self.sink.clone(), batch.len());
        let mut call = async move {
            let mut sink = sink.lock().await;
            guarded(call.make(&mut **sink, &batch)).await
        }
        .boxed();
        let in_time = timeout(self.timeout, &mut call).await.ok();
        if in_time.is_none() && self.outlives_timeout {
            self.late = Some(Late { call, len });
        }
        in_time
    }

    /// The sink's background error, unless the sink is busy.
    fn trouble(&self) -> Option<Arc<SinkError>> {
        self.sink.try_lock().ok()?.take_error().map(Arc::new)
    }
}

/// The links, tried in their order.
pub(super) struct Chain<'a> {
    station: &'a Station,
    links: Vec<Link>,
    claims: Vec<Claim>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(station: &'a Station, links: Vec<Link>) -> Self {
        Chain { station, links, claims: Vec::new() }
    }

    /// Whether a link is available, that is, has no late call.
    pub(super) fn can_take(&self) -> bool {
        self.links.iter().any(|link| link.late.is_none())
    }

    /// Sends all that is left of a batch down the chain.
    pub(super) async fn take_all(&mut self, load: &mut Load, reason: DropReason) {
        while let Some(piece) = load.take_first() {
            self.take(piece, load.doubtful(), reason).await;
        }
    }

    /// Has the first available link deliver a piece. If none can, the loss is counted once: for this reason, or as
    /// unconfirmed if a write of the piece timed out. `others` are the unconfirmed events in flight besides the piece.
    pub(super) async fn take(&mut self, piece: Piece, others: u64, reason: DropReason) {
        self.hear_late_answers();
        let Piece { mut batch, is_doubtful, .. } = piece;
        // Writes of it that timed out, and the links whose late result may still come.
        let (mut doubts, mut late) = (usize::from(is_doubtful), Vec::new());
        for (index, link) in self.links.iter_mut().enumerate() {
            if link.late.is_some() {
                continue;
            }
            let len = batch.len();
            self.station.begin_write(others + len as u64, false, if doubts > 0 { len as u64 } else { 0 }).await;
            let answer = link.call(Call::Write, batch.clone()).await.unwrap_or_else(|| {
                doubts += 1;
                late.extend(link.late.is_some().then_some(index));
                Err(SinkError::timed_out("write", link.timeout))
            });
            let answer = answer.map_err(Arc::new);
            self.station.link_answered(index, &answer);
            self.station.link_troubled(index, link.trouble());
            let delivered = answer.map_or_else(|error| error.delivered().min(len), |()| len);
            batch = batch.skip(delivered);
            let uncertain = if doubts > 0 { batch.len() as u64 } else { 0 };
            self.station.settle(delivered, Fate::Fallback(index), others + uncertain);
            if batch.is_empty() {
                return;
            }
        }
        let fate = if doubts > 0 { Fate::Unconfirmed } else { Fate::Dropped(reason) };
        self.station.settle(batch.len(), fate, others);
        if !late.is_empty() {
            self.claims.push(Claim { links: late, events: batch.len(), doubts, reason });
        }
    }

    /// Has the first available link write a notice; returns which did.
    pub(super) async fn tell(&mut self, notice: &Notice) -> Option<Outlet> {
        self.hear_late_answers();
        for (index, link) in self.links.iter_mut().enumerate() {
            if link.late.is_some() {
                continue;
            }
            self.station.begin_write(0, false, 0).await;
            let answer = link.call(Call::Write, notice.batch.clone()).await;
            let answer = answer.unwrap_or_else(|| Err(SinkError::timed_out("write", link.timeout))).map_err(Arc::new);
            self.station.link_answered(index, &answer);
            if answer.is_ok() {
                return Some(Outlet::Link(index));
            }
        }
        None
    }

    /// Calls every link; returns the first error.
    pub(super) async fn call_all(&mut self, call: Call) -> Answer {
        let mut result = Ok(());
        for index in 0..self.links.len() {
            let limit = self.links[index].timeout;
            let in_time = timeout(limit, self.late_answer_of(index)).await;
            let answer = match in_time {
                Ok(()) => self.links[index].call(call, Batch::default()).await,
                Err(_) => None,
            };
            self.station.link_troubled(index, self.links[index].trouble());
            result = result.and(answer.unwrap_or_else(|| Err(SinkError::timed_out(call.name(), limit))));
        }
        result
    }

    /// Waits for the late result of a write that outlives its timeout. Meanwhile, new batches go down the chain. The
    /// events of the write do not: it may still deliver them.
    pub(super) async fn meanwhile(&mut self, mut write: Pin<&mut impl Future<Output = Answer>>) -> Answer {
        let station = self.station;
        loop {
            // If every link is busy, new batches wait, as they would if there were none.
            let can_take = self.can_take();
            let around = tokio::select! {
                biased;
                answer = &mut write => return answer,
                () = self.late_answer() => continue,
                around = station.next_around(), if can_take => around,
            };
            match around {
                Around::Write(taken) => self.divert(&taken).await,
                Around::Tell(notice) => {
                    let by = self.tell(&notice).await;
                    self.station.told(&notice, by);
                }
            }
        }
    }

    async fn divert(&mut self, taken: &Taken) {
        self.take_all(&mut Load::new(taken.batch.clone()), DropReason::BreakerOpen).await;
        self.station.release(taken);
    }
}

/// Results after a timeout.
impl Chain<'_> {
    /// Records the next late result of a link; never returns if none is late. Cancel-safe.
    pub(super) async fn late_answer(&mut self) {
        let (index, answer) = poll_fn(|cx| {
            let mut links = self.links.iter_mut().enumerate();
            let answered = links.find_map(|(index, link)| match link.late.as_mut()?.call.poll_unpin(cx) {
                Poll::Ready(answer) => Some((index, answer)),
                Poll::Pending => None,
            });
            answered.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.book_late(index, answer);
    }

    /// Records the late results that are available.
    fn hear_late_answers(&mut self) {
        while self.late_answer().now_or_never().is_some() {}
    }

    /// Waits until this link's late call returns, if it has one.
    async fn late_answer_of(&mut self, index: usize) {
        if let Some(late) = &mut self.links[index].late {
            let answer = (&mut late.call).await;
            self.book_late(index, answer);
        }
    }

    fn book_late(&mut self, index: usize, answer: Answer) {
        let Some(Late { len, .. }) = self.links[index].late.take() else { return };
        let answer = answer.map_err(Arc::new);
        self.station.link_answered(index, &answer);
        // Without a claim, another link delivered them all.
        let Some(at) = self.claims.iter().position(|claim| claim.links.contains(&index)) else { return };
        let claim = &mut self.claims[at];
        let delivered = answer.map_or_else(|error| error.delivered().min(len), |()| len);
        // Another link may have delivered the first of them.
        let delivered = delivered.saturating_sub(len - claim.events);
        self.station.settle_late(delivered, Fate::Fallback(index));
        claim.events -= delivered;
        claim.doubts -= 1;
        claim.links.retain(|link| *link != index);
        if claim.doubts == 0 {
            self.station.settle_late(claim.events, Fate::Dropped(claim.reason));
        }
        if claim.links.is_empty() {
            self.claims.swap_remove(at);
        }
    }
}
