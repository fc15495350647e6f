//! What is measured: every scenario with its parameter, and how much of it. Pure.

use std::fmt;
use std::time::Duration;

use crate::peers::{About, Queue, Role};

/// One scenario with its parameter: a block of lines in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    /// Bursts of calls from one thread, each timed.
    Burst,
    /// One call per 50 µs from one thread, each timed.
    Paced,
    /// Bursts from so many threads at once, each call timed.
    Threads(u32),
    /// From the first call until the file is complete, so many threads calling.
    Throughput(u32),
    /// The end with 100,000 events queued.
    Shutdown,
    /// One call per 20 µs while nobody reads the pipe for a second.
    Stall,
    /// Allocations of the whole process per event.
    Allocations,
    /// So many calls a second on a fixed schedule, timed from when each was due.
    Arrival(u64),
    /// A call that the filter keeps out.
    Disabled,
}

pub const THREADS: [u32; 5] = [1, 2, 4, 8, 16];
pub const ARRIVALS: [u64; 3] = [10_000, 100_000, 1_000_000];

impl Case {
    /// In the order in which they run and are shown.
    pub fn all() -> Vec<Case> {
        let mut all = vec![Case::Burst, Case::Paced];
        all.extend(THREADS.map(Case::Threads));
        all.extend([Case::Throughput(1), Case::Throughput(2), Case::Shutdown, Case::Stall, Case::Allocations]);
        all.extend(ARRIVALS.map(Case::Arrival));
        all.push(Case::Disabled);
        all
    }

    /// The name by which `--only` knows it.
    pub fn scenario(self) -> &'static str {
        match self {
            Case::Burst => "burst",
            Case::Paced => "paced",
            Case::Threads(_) => "threads",
            Case::Throughput(_) => "throughput",
            Case::Shutdown => "shutdown",
            Case::Stall => "stall",
            Case::Allocations => "allocations",
            Case::Arrival(_) => "arrival",
            Case::Disabled => "disabled",
        }
    }

    pub fn parse(text: &str) -> Option<Case> {
        Case::all().into_iter().find(|case| case.to_string() == text)
    }

    /// Whether a peer has a line here at all; one that has may still not be able to take part.
    pub fn concerns(self, about: &About) -> bool {
        match (self, about.role) {
            (Case::Disabled, role) => role == Role::Ours,
            (case, Role::OursByDefault) => case == Case::Stall,
            (case, Role::OursThroughTracing) => matches!(case, Case::Burst | Case::Paced),
            (case, Role::Control) => matches!(case, Case::Burst | Case::Paced | Case::Threads(_) | Case::Arrival(_)),
            _ => true,
        }
    }

    /// Why a peer cannot take part.
    pub fn excludes(self, about: &About) -> Option<&'static str> {
        match self {
            Case::Stall | Case::Shutdown if !about.pipe => Some("cannot write to a pipe"),
            Case::Shutdown if about.queue == Queue::Fixed => Some("its queue cannot hold them"),
            _ => None,
        }
    }

    /// How many events the queue is to hold: as many as logweir's own default on two cores, and room for a burst of
    /// 1000 from each of 16 threads.
    pub fn capacity(self) -> usize {
        match self {
            Case::Shutdown => 131_072,
            _ => 16_384,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.scenario();
        match self {
            Case::Threads(parameter) | Case::Throughput(parameter) => write!(f, "{name}/{parameter}"),
            Case::Arrival(parameter) => write!(f, "{name}/{parameter}"),
            _ => f.write_str(name),
        }
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A look, under two minutes.
    Short,
    /// What may be quoted, under fifteen.
    Full,
}

impl Effort {
    pub fn name(self) -> &'static str {
        match self {
            Effort::Short => "short",
            Effort::Full => "full",
        }
    }

    pub fn parse(text: &str) -> Option<Effort> {
        [Effort::Short, Effort::Full].into_iter().find(|effort| effort.name() == text)
    }

    fn of<T>(self, short: T, full: T) -> T {
        match self {
            Effort::Short => short,
            Effort::Full => full,
        }
    }

    pub fn rounds(self) -> usize {
        self.of(2, 5)
    }

    /// Of these, a scenario whose length nothing shortens: a stall takes its second.
    pub fn runs(self, case: Case, round: usize) -> bool {
        !(self == Effort::Short && case == Case::Stall && round > 0)
    }

    pub fn bursts(self) -> usize {
        self.of(8, 20)
    }

    /// Of each thread.
    pub fn bursts_of_threads(self) -> usize {
        self.of(3, 10)
    }

    pub fn paced(self) -> usize {
        self.of(4_000, 20_000)
    }

    pub fn throughput(self) -> u64 {
        self.of(100_000, 500_000)
    }

    pub fn allocations(self) -> usize {
        self.of(20, 50)
    }

    pub fn arrivals(self) -> Duration {
        self.of(Duration::from_millis(100), Duration::from_millis(500))
    }
}
