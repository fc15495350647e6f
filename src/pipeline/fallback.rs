//! A sink task: the chain of sinks that take what the first one does not.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::booking::Taken;
use super::delivery::guarded;
use super::ledger::Fate;
use super::load::{Load, Piece};
use super::station::Station;
use crate::sink::{Sink, SinkError};
use crate::stats::DropReason;

/// One link of the chain.
pub(crate) struct Link {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) timeout: Duration,
}

/// The links, asked in their order.
pub(super) struct Chain<'a> {
    pub(super) station: &'a Station,
    pub(super) links: Vec<Link>,
}

impl Chain<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Sends all that is left of a load down the chain.
    pub(super) async fn take_all(&mut self, load: &mut Load, reason: DropReason) {
        while let Some(piece) = load.take_first() {
            self.take(piece, load.doubtful(), reason).await;
        }
    }

    /// Has the first link that can deliver a piece. If none can, the loss is counted once: for this reason, or as
    /// unconfirmed if a write of it was given up. `others` are the doubtful events in hand beside it.
    pub(super) async fn take(&mut self, piece: Piece, others: u64, reason: DropReason) {
        let Piece { mut batch, mut is_doubtful, .. } = piece;
        for (index, link) in self.links.iter_mut().enumerate() {
            let len = batch.len();
            self.station.begin_write(others + len as u64, false, if is_doubtful { len as u64 } else { 0 }).await;
            let answer = match timeout(link.timeout, guarded(async { link.sink.write(&batch).await })).await {
                Ok(answer) => answer.map_err(Arc::new),
                Err(_) => {
                    is_doubtful = true;
                    Err(Arc::new(SinkError::timed_out("write", link.timeout)))
                }
            };
            self.station.link_answered(index, &answer);
            let delivered = answer.map_or_else(|error| error.delivered_count().min(len), |()| len);
            batch = batch.skip(delivered);
            self.station.settle(
                delivered,
                Fate::Fallback(index),
                others + if is_doubtful { batch.len() as u64 } else { 0 },
            );
            if batch.is_empty() {
                break;
            }
        }
        let fate = if is_doubtful { Fate::Unconfirmed } else { Fate::Dropped(reason) };
        self.station.settle(batch.len(), fate, others);
    }

    /// Waits for the late answer of a write that outlives its timeout. Meanwhile what comes in goes down the chain; what
    /// the write has in hand does not: it may be delivered yet.
    pub(super) async fn meanwhile(
        &mut self,
        mut write: Pin<&mut impl Future<Output = Result<(), SinkError>>>,
    ) -> Result<(), SinkError> {
        loop {
            let taken = tokio::select! {
                biased;
                answer = &mut write => return answer,
                taken = self.station.next_batch(), if !self.is_empty() => taken,
            };
            self.divert(&taken).await;
        }
    }

    async fn divert(&mut self, taken: &Taken) {
        self.take_all(&mut Load::new(taken.batch.clone()), DropReason::BreakerOpen).await;
        self.station.release(taken);
    }
}
