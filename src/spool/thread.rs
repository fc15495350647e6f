//! A spool's thread: performs what the pipeline asks for, in its order, and synchronizes once for all who wait.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::disk::{Disk, Refused, SpoolLimits};
use super::fs::SpoolFs;
use super::options::Spool;
use super::store::{AppendError, Recovered, SpoolFinding, SpoolProgress, SpoolStore, Stored};
use super::unclaimed::unclaimed;
use crate::context::suppress;
use crate::event::Batch;
use crate::event::stored::{restore, store};
use crate::format::plain::Foreign;
use crate::fs::{FsKind, kind_of};
use crate::sink::{Durability, SinkError};

/// A record has at most this part of a segment.
const RECORDS_PER_SEGMENT: u64 = 4;
/// The most commands before a synchronization that is due.
const MAX_COMMANDS: usize = 64;

/// The store of a spool on a disk.
pub(crate) struct DiskStore<F> {
    spool: Spool,
    /// `None`: it is open.
    fs: Mutex<Option<F>>,
    commands: Mutex<Option<Sender<SpoolCommand>>>,
    /// The latest error for which no caller waited.
    error: Arc<Mutex<Option<io::Error>>>,
    /// Of all segments, after the last command.
    bytes: Arc<AtomicU64>,
}

enum SpoolCommand {
    Append(Vec<Batch>, oneshot::Sender<Result<(), Refused>>),
    Read(Range<u64>, oneshot::Sender<io::Result<Option<Stored>>>),
    Advance(SpoolProgress),
    Sync(oneshot::Sender<io::Result<()>>),
    Close(oneshot::Sender<io::Result<()>>),
}

/// The error of a spool.
#[derive(Debug)]
pub(crate) struct SpoolError {
    what: &'static str,
    dir: PathBuf,
    source: io::Error,
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the spool in `{}` cannot be {}", Foreign(self.dir.display()), self.what)
    }
}

impl Error for SpoolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl<F: SpoolFs> DiskStore<F> {
    pub(crate) fn new(spool: Spool, fs: F) -> Self {
        DiskStore {
            spool,
            fs: Mutex::new(Some(fs)),
            commands: Mutex::default(),
            error: Arc::default(),
            bytes: Arc::default(),
        }
    }

    fn error(&self, what: &'static str, source: io::Error) -> SinkError {
        SinkError::temporary(SpoolError { what, dir: self.spool.dir.clone(), source })
    }

    /// Has the thread perform a command, and waits for its answer.
    async fn ask<T>(
        &self,
        what: &'static str,
        command: impl FnOnce(oneshot::Sender<T>) -> SpoolCommand,
    ) -> Result<T, SinkError> {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer));
        answered.await.map_err(|_| self.error(what, io::Error::new(io::ErrorKind::BrokenPipe, "its thread has ended")))
    }

    fn send(&self, command: SpoolCommand) {
        if let Some(commands) = &*self.commands.lock().unwrap_or_else(PoisonError::into_inner) {
            // Without the thread the answer's sender is dropped, which is the answer.
            commands.send(command).unwrap_or_default();
        }
    }
}

#[async_trait]
impl<F: SpoolFs> SpoolStore for DiskStore<F> {
    fn open(&self, sink: &str) -> Result<Recovered, SinkError> {
        if self.spool.max_bytes < Spool::MIN_BYTES {
            let wrong = format!("`max_bytes` is {}; allowed is {} or more", self.spool.max_bytes, Spool::MIN_BYTES);
            return Err(self.error("opened", io::Error::new(io::ErrorKind::InvalidInput, wrong)));
        }
        let Some(fs) = self.fs.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Err(self.error("opened twice", io::ErrorKind::AlreadyExists.into()));
        };
        let kind = fs.kind(&self.spool.dir).map_err(|error| self.error("opened", error))?;
        if let (FsKind::Network(name), false) = (kind, self.spool.is_network_allowed) {
            let wrong = format!(
                "it is on {name}, which may lose what it has synchronized and lock a file twice; `allow_network_file_system` allows it"
            );
            return Err(self.error("opened", io::Error::new(io::ErrorKind::Unsupported, wrong)));
        }
        let dirs = self.claimed(sink);
        let limits = SpoolLimits { max_bytes: self.spool.max_bytes, segment_bytes: self.spool.segment_bytes() };
        let disk = Disk::open(fs, &dirs, limits).map_err(|error| self.error("opened", error))?;
        let recovered = Recovered { progress: disk.progress().clone(), next: disk.next() };
        let (commands, inbox) = channel();
        let thread = SpoolThread {
            disk,
            record_bytes: limits.segment_bytes / RECORDS_PER_SEGMENT,
            durability: self.spool.durability,
            sync_at: None,
            error: self.error.clone(),
            bytes: self.bytes.clone(),
        };
        let run = move || {
            suppress::mark_thread();
            thread.run(&inbox);
        };
        let spawned = thread::Builder::new().name("logweir-spool".into()).spawn(run);
        spawned.map_err(|error| self.error("opened", error))?;
        *self.commands.lock().unwrap_or_else(PoisonError::into_inner) = Some(commands);
        Ok(recovered)
    }

    fn claimed(&self, sink: &str) -> Vec<PathBuf> {
        let names = [sink].into_iter().chain(self.spool.also.iter().map(String::as_str));
        names.map(|name| self.spool.dir_of(name)).collect()
    }

    fn examine(&self, claimed: &[PathBuf]) -> Result<Vec<SpoolFinding>, SinkError> {
        let dir = &self.spool.dir;
        let found = unclaimed(dir, claimed).and_then(|mut found| {
            if kind_of(dir)? == FsKind::Overlay {
                found.push(SpoolFinding::OnOverlay { dir: dir.clone() });
            }
            Ok(found)
        });
        found.map_err(|error| self.error("examined", error))
    }

    async fn append(&self, batches: &[Batch]) -> Result<(), AppendError> {
        let appended = self.ask("written", |answer| SpoolCommand::Append(batches.to_vec(), answer)).await;
        appended.map_err(AppendError::Failed)?.map_err(|refused| match refused {
            Refused::Full(removable, error) => {
                AppendError::Full { removable, error: error.map(|error| self.error("written", error)) }
            }
            Refused::Failed(error) => AppendError::Failed(self.error("written", error)),
        })
    }

    async fn read(&self, positions: Range<u64>) -> Result<Option<Stored>, SinkError> {
        let read = self.ask("read", |answer| SpoolCommand::Read(positions, answer)).await?;
        read.map_err(|error| self.error("read", error))
    }

    fn advance(&self, progress: SpoolProgress) {
        self.send(SpoolCommand::Advance(progress));
    }

    async fn sync(&self) -> Result<(), SinkError> {
        self.ask("synchronized", SpoolCommand::Sync).await?.map_err(|error| self.error("synchronized", error))
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn take_error(&self) -> Option<SinkError> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(self.error("written", error))
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.ask("synchronized", SpoolCommand::Close).await?.map_err(|error| self.error("synchronized", error))
    }
}

struct SpoolThread<F: SpoolFs> {
    disk: Disk<F>,
    record_bytes: u64,
    durability: Durability,
    /// When what was appended is to be synchronized.
    sync_at: Option<Instant>,
    error: Arc<Mutex<Option<io::Error>>>,
    bytes: Arc<AtomicU64>,
}

/// Who waits for a synchronization.
#[derive(Default)]
struct SyncWaiters {
    appended: Vec<oneshot::Sender<Result<(), Refused>>>,
    synced: Vec<oneshot::Sender<io::Result<()>>>,
}

impl<F: SpoolFs> SpoolThread<F> {
    fn run(mut self, inbox: &Receiver<SpoolCommand>) {
        loop {
            let trouble = self.disk.take_trouble();
            self.note(trouble.map_or(Ok(()), Err));
            self.bytes.store(self.disk.bytes(), Ordering::Relaxed);
            let first = match self.sync_at {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                // What it was last told is settled is written down, if it can be.
                return self.disk.end().unwrap_or_default();
            }
            let mut waiting = SyncWaiters::default();
            // What is there, so that one synchronization serves all; not what comes meanwhile, for which none would wait long.
            for command in first.into_iter().chain(inbox.try_iter().take(MAX_COMMANDS)) {
                match command {
                    SpoolCommand::Append(batches, answer) => self.append(&batches, answer, &mut waiting),
                    SpoolCommand::Read(positions, answer) => answer.send(self.read(positions)).unwrap_or_default(),
                    SpoolCommand::Advance(progress) => {
                        self.disk.advance(progress);
                        let cleaned = self.disk.clean();
                        self.note(cleaned);
                        self.sync_later();
                    }
                    SpoolCommand::Sync(answer) => waiting.synced.push(answer),
                    SpoolCommand::Close(answer) => {
                        self.sync(waiting);
                        let synced = self.disk.sync();
                        let ended = self.disk.end();
                        return answer.send(synced.and(ended)).unwrap_or_default();
                    }
                }
            }
            self.sync(waiting);
        }
    }

    fn append(&mut self, batches: &[Batch], answer: oneshot::Sender<Result<(), Refused>>, waiting: &mut SyncWaiters) {
        let mut records = Vec::new();
        batches.iter().for_each(|batch| put(batch, self.record_bytes, &mut records));
        let appended = self.disk.append(records);
        match self.durability {
            Durability::SyncEveryBatch if appended.is_ok() => return waiting.appended.push(answer),
            _ => self.sync_later(),
        }
        answer.send(appended).unwrap_or_default();
    }

    /// Sets when the disk is to have what has come by now.
    fn sync_later(&mut self) {
        if let Durability::SyncInterval(interval) = self.durability {
            self.sync_at = self.sync_at.or_else(|| Instant::now().checked_add(interval));
        }
    }

    fn read(&mut self, mut positions: Range<u64>) -> io::Result<Option<Stored>> {
        while let Some((there, payload)) = self.disk.read(positions.clone())? {
            match restore(&payload) {
                Ok(batch) if batch.len() as u64 == there.end - there.start => {
                    return Ok(Some(Stored { first: there.start, batch }));
                }
                // Whole, and not what this version writes.
                _ => positions.start = there.end,
            }
        }
        Ok(None)
    }

    fn sync(&mut self, SyncWaiters { appended, synced }: SyncWaiters) {
        let is_due = self.sync_at.is_some_and(|at| at <= Instant::now());
        if !is_due && appended.is_empty() && synced.is_empty() {
            return;
        }
        self.sync_at = None;
        let result = self.disk.sync();
        if result.is_err() {
            self.sync_later();
        }
        if synced.is_empty()
            && let Err(error) = &result
        {
            self.note(Err(again(error)));
        }
        // They are appended, whatever the disk says: they are not offered from memory.
        appended.into_iter().for_each(|answer| answer.send(Ok(())).unwrap_or_default());
        for answer in synced {
            answer.send(result.as_ref().copied().map_err(again)).unwrap_or_default();
        }
    }

    /// Keeps an error for which no caller waits.
    fn note(&self, result: io::Result<()>) {
        if let Err(error) = result {
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}

fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Adds the record of a batch; of one that is too large for a record, those of its halves.
fn put(batch: &Batch, most_bytes: u64, records: &mut Vec<(u32, Vec<u8>)>) {
    let mut payload = Vec::new();
    store(batch, &mut payload);
    if payload.len() as u64 > most_bytes && batch.len() > 1 {
        let (first, rest) = batch.split_at(batch.len() / 2);
        put(&first, most_bytes, records);
        put(&rest, most_bytes, records);
    } else if !payload.is_empty() {
        records.push((batch.len() as u32, payload));
    }
}
