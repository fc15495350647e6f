//! Any thread: what a pipeline needs of the place where a spool keeps its events.

use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::event::Batch;
use crate::sink::SinkError;

/// Where a spool keeps its events. Each event has a position: the first that is ever appended has 0.
///
/// The pipeline owns the accounts: it decides what is appended, read and settled, and counts it.
#[async_trait]
pub trait SpoolStore: Send + Sync + 'static {
    /// Returns what earlier processes left for the sink of this name. Called once, before anything else.
    ///
    /// # Errors
    /// Returns an error if the store cannot be used; the logger does not start.
    fn open(&self, sink: &str) -> Result<Recovered, SinkError>;

    /// Returns the directories whose events it takes over for the sink of this name.
    fn claimed(&self, _sink: &str) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns what is to be known about it once all are open, which have claimed these directories.
    ///
    /// # Errors
    /// Returns an error if it cannot find that out.
    fn examine(&self, _claimed: &[PathBuf]) -> Result<Vec<SpoolFinding>, SinkError> {
        Ok(Vec::new())
    }

    /// Appends these batches, in this order, all or none. The first event gets the position behind the last one that was
    /// appended.
    ///
    /// No other append is called before this one has returned. It is not canceled at its timeout: its late result counts.
    ///
    /// # Errors
    /// Returns an error if no event was appended and none of these will be.
    async fn append(&self, batches: &[Batch]) -> Result<(), AppendError>;

    /// Reads the batch with the event at `positions.start`, or the first one behind it that is there, if it ends in this range.
    /// What comes before that, and everything if there is none, is lost.
    ///
    /// # Errors
    /// Returns an error if a later read may find it; the pipeline reads again.
    async fn read(&self, positions: Range<u64>) -> Result<Option<Stored>, SinkError>;

    /// Takes over what is settled: it need not be kept. Does not wait for a disk.
    fn advance(&self, progress: SpoolProgress);

    /// Makes durable what was appended, also by an append that was called before and has not returned, and the progress.
    ///
    /// # Errors
    /// Returns an error if that is uncertain.
    async fn sync(&self) -> Result<(), SinkError>;

    /// Returns the bytes that it has. Does not wait for a disk.
    fn bytes(&self) -> u64 {
        0
    }

    /// Returns an error of its background work, once.
    fn take_error(&self) -> Option<SinkError> {
        None
    }

    /// Makes durable what was appended, and the progress; no append follows.
    ///
    /// # Errors
    /// Returns an error if that is uncertain.
    async fn close(&self) -> Result<(), SinkError> {
        self.sync().await
    }
}

/// What is to be known about a spool when a logger starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolFinding {
    /// It is on the file system of a container, which ends with it.
    OnOverlay {
        /// Its directory.
        dir: PathBuf,
    },
    /// No sink takes over what is there.
    Unclaimed {
        /// The folder.
        dir: PathBuf,
        /// Its size.
        bytes: u64,
        /// Another version has written it; else the name of its sink is not configured.
        is_other_version: bool,
    },
}

/// What is settled of a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolProgress {
    /// Every event before this position is settled.
    pub frontier: u64,
    /// What is settled behind it.
    pub settled: Vec<Range<u64>>,
}

/// What earlier processes left in a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// What they settled.
    pub progress: SpoolProgress,
    /// The position of the event that is appended next.
    pub next: u64,
}

/// A batch as it was appended.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The position of its first event.
    pub first: u64,
    /// Its events, with the ids they had.
    pub batch: Batch,
}

impl Stored {
    /// The position behind its last event.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.batch.len() as u64
    }
}

/// Why nothing was appended.
#[derive(Debug)]
pub enum AppendError {
    /// There is no room.
    Full {
        /// The positions of each part that can be removed as a whole to make room, oldest first.
        removable: Vec<Range<u64>>,
        /// The error of the disk that has none; `None`: the store has all that it may have.
        error: Option<SinkError>,
    },
    /// The store failed.
    Failed(SinkError),
}
