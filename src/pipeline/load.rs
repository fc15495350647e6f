//! Anywhere (pure): the rest of a batch in delivery, in pieces, oldest event first.

use std::collections::VecDeque;

use crate::event::Batch;

/// Single rejections, with nothing delivered before, after which the rest of a batch is rejected as a whole: the sink
/// accepts none of it, and writing each event alone would take as many calls as the batch has events.
const REJECTIONS: u32 = 3;

/// A run of a batch that is written at once.
pub(super) struct Piece {
    pub(super) batch: Batch,
    /// Part of a notice, which no counter of events includes.
    pub(super) is_notice: bool,
    /// A write of it timed out without a result.
    pub(super) is_doubtful: bool,
    /// A write of it failed before.
    pub(super) is_retry: bool,
}

impl Piece {
    /// The number of its events that the counters include.
    pub(super) fn events(&self) -> usize {
        if self.is_notice { 0 } else { self.batch.len() }
    }
}

/// The pieces of one batch that are not settled.
pub(super) struct Load {
    pieces: VecDeque<Piece>,
    rejections: u32,
    any_delivered: bool,
    /// A panic counts once per batch, however many writes it takes to find the event that causes it.
    pub(super) has_panicked: bool,
}

/// What follows a rejection of the first piece.
#[derive(Debug, PartialEq)]
pub(super) enum Bisected {
    /// The piece is halved: the sink gets each half.
    Halved,
    /// The piece is one event: the bad one.
    Poison,
    /// The whole batch is rejected.
    All,
}

impl Load {
    pub(super) fn new(batch: Batch) -> Self {
        Load::of(Piece { batch, is_notice: false, is_doubtful: false, is_retry: false })
    }

    pub(super) fn notice(batch: Batch) -> Self {
        Load::of(Piece { batch, is_notice: true, is_doubtful: false, is_retry: false })
    }

    fn of(piece: Piece) -> Self {
        Load { pieces: VecDeque::from([piece]), rejections: 0, any_delivered: false, has_panicked: false }
    }

    pub(super) fn first(&mut self) -> Option<&mut Piece> {
        self.pieces.front_mut()
    }

    pub(super) fn take_first(&mut self) -> Option<Piece> {
        self.pieces.pop_front()
    }

    /// Events that may have been delivered without confirmation.
    pub(super) fn doubtful(&self) -> u64 {
        self.pieces.iter().filter(|piece| piece.is_doubtful).map(|piece| piece.batch.len() as u64).sum()
    }

    /// The same, without those of the first piece.
    pub(super) fn doubtful_others(&self) -> u64 {
        let first = self.pieces.front().filter(|first| first.is_doubtful);
        self.doubtful() - first.map_or(0, |first| first.batch.len() as u64)
    }

    /// Removes the first `events` of the first piece, which are delivered.
    pub(super) fn delivered(&mut self, events: usize) {
        self.any_delivered |= events > 0;
        if let Some(first) = self.pieces.front_mut() {
            first.batch = first.batch.skip(events);
            if first.batch.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// Bisects the first piece, which was rejected.
    pub(super) fn rejected(&mut self) -> Bisected {
        let Some(first) = self.pieces.pop_front() else { return Bisected::All };
        let len = first.batch.len();
        if len > 1 {
            let (older, newer) = first.batch.split_at(len / 2);
            let Piece { is_notice, is_doubtful, .. } = first;
            let piece = |batch| Piece { batch, is_notice, is_doubtful, is_retry: false };
            self.pieces.push_front(piece(newer));
            self.pieces.push_front(piece(older));
            return Bisected::Halved;
        }
        self.pieces.push_front(first);
        self.rejections += 1;
        if self.rejections >= REJECTIONS && !self.any_delivered { Bisected::All } else { Bisected::Poison }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Level};

    fn load(events: usize) -> Load {
        Load::new((0..events).map(|n| Event::new(Level::Info, "t", &n.to_string())).collect())
    }

    fn first(load: &mut Load) -> Vec<String> {
        let batch = load.first().map(|piece| piece.batch.clone());
        batch.iter().flat_map(Batch::iter).map(|record| record.message().to_string()).collect()
    }

    #[test]
    fn a_rejected_piece_is_halved_down_to_one_event_oldest_first() {
        let mut load = load(5);
        assert_eq!(load.rejected(), Bisected::Halved);
        assert_eq!(first(&mut load), ["0", "1"]);
        assert_eq!(load.rejected(), Bisected::Halved);
        assert_eq!((first(&mut load), load.rejected()), (vec!["0".into()], Bisected::Poison));
        drop(load.take_first());
        load.delivered(1);
        assert_eq!(first(&mut load), ["2", "3", "4"]);
    }

    #[test]
    fn three_single_rejections_with_nothing_delivered_reject_the_rest() {
        let mut load = load(8);
        let mut singles = 0;
        loop {
            match load.rejected() {
                Bisected::Halved => {}
                Bisected::Poison => drop(load.take_first().inspect(|_| singles += 1)),
                Bisected::All => break,
            }
        }
        assert_eq!(
            (singles, std::iter::from_fn(|| load.take_first()).map(|piece| piece.batch.len()).sum::<usize>()),
            (2, 6)
        );
    }

    #[test]
    fn a_batch_of_which_something_was_delivered_is_searched_to_its_end() {
        let mut load = load(9);
        load.delivered(1);
        let mut singles = 0;
        while load.first().is_some() {
            match load.rejected() {
                Bisected::Halved => {}
                Bisected::Poison => drop(load.take_first().inspect(|_| singles += 1)),
                Bisected::All => panic!("something was delivered"),
            }
        }
        assert_eq!(singles, 8);
    }
}
