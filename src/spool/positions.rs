//! Anywhere (pure): which events of a spool are settled, by their positions.
//!
//! Invariant: the settled ranges behind the frontier are not empty, do not touch, and end at or before `next`.

use std::collections::BTreeMap;
use std::ops::Range;

use super::store::SpoolProgress;

/// The positions of a spool's events: each event has one, in the order in which they were appended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    /// The position of the event that is appended next.
    next: u64,
    /// Every event before it is settled; that at it is not.
    frontier: u64,
    /// What is settled behind the frontier: the start of each range, and its end.
    settled: BTreeMap<u64, u64>,
    settled_behind: u64,
}

impl Positions {
    pub(crate) fn new(progress: &SpoolProgress, next: u64) -> Self {
        let start = progress.frontier.min(next);
        let mut positions = Positions { next, frontier: start, ..Positions::default() };
        for range in &progress.settled {
            positions.settle(range.clone());
        }
        positions
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Adds events; returns the position of the first.
    pub(crate) fn append(&mut self, events: u64) -> u64 {
        let first = self.next;
        self.next += events;
        first
    }

    /// Settles these; returns how many of them were not settled.
    pub(crate) fn settle(&mut self, range: Range<u64>) -> u64 {
        let (mut start, mut end) = (range.start.max(self.frontier), range.end.min(self.next));
        if start >= end {
            return 0;
        }
        let before = self.settled_behind + self.frontier;
        // Merged with every range that it touches.
        while let Some((&other, &other_end)) = self.settled.range(..=end).next_back()
            && other_end >= start
        {
            self.settled.remove(&other);
            self.settled_behind -= other_end - other;
            (start, end) = (start.min(other), end.max(other_end));
        }
        if start == self.frontier {
            self.frontier = end;
        } else {
            self.settled.insert(start, end);
            self.settled_behind += end - start;
        }
        self.settled_behind + self.frontier - before
    }

    /// How many events are not settled.
    pub(crate) fn outstanding(&self) -> u64 {
        self.next - self.frontier - self.settled_behind
    }

    /// Which of these are not settled, as ranges.
    pub(crate) fn unsettled(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let (mut start, mut unsettled) = (range.start.max(self.frontier), Vec::new());
        let first = self.settled.range(..=start).next_back().map_or(start, |(first, _)| *first);
        for (&from, &to) in self.settled.range(first..range.end.max(first)) {
            if from > start {
                unsettled.push(start..from);
            }
            start = start.max(to);
        }
        if start < range.end {
            unsettled.push(start..range.end);
        }
        unsettled
    }

    /// What is settled, as ranges.
    pub(crate) fn settled(&self) -> impl Iterator<Item = Range<u64>> {
        std::iter::once(0..self.frontier).chain(self.settled.iter().map(|(start, end)| *start..*end))
    }

    /// What is settled, to be kept.
    pub(crate) fn progress(&self) -> SpoolProgress {
        let settled = self.settled.iter().map(|(start, end)| *start..*end).collect();
        SpoolProgress { frontier: self.frontier, settled }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_event_is_settled_once_in_whatever_order(ranges in proptest::collection::vec((0..40_u64, 0..9_u64), 0..30)) {
            let mut positions = Positions::default();
            positions.append(40);
            let mut settled = [false; 40];
            for (start, len) in ranges {
                let range = start..(start + len).min(40);
                let new = range.clone().filter(|n| !std::mem::replace(&mut settled[*n as usize], true)).count();
                prop_assert_eq!(positions.settle(range), new as u64);
                let open: Vec<u64> = (0..40).filter(|n| !settled[*n as usize]).collect();
                prop_assert_eq!(positions.outstanding(), open.len() as u64);
                let unsettled = |range: Range<u64>| positions.unsettled(range).into_iter().flatten().collect::<Vec<_>>();
                prop_assert_eq!(&unsettled(0..40), &open);
                let middle: Vec<u64> = open.iter().copied().filter(|n| (11..23).contains(n)).collect();
                prop_assert_eq!(unsettled(11..23), middle);
                prop_assert_eq!(positions.frontier, open.first().copied().unwrap_or(40));
                let again = Positions::new(&positions.progress(), 40);
                prop_assert_eq!(again.unsettled(0..40), positions.unsettled(0..40));
            }
        }
    }
}
