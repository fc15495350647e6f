//! A test's thread: a file system that loses what was not synchronized, tears writes, and fails as scripted.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use crate::fs::FsKind;
use crate::spool::fs::SpoolFs;

/// What a power failure may tear a write into.
const BLOCK: usize = 512;

#[derive(Clone)]
pub(super) struct ModelFs(Arc<Mutex<State>>);

struct State {
    /// By number: a name may be removed while its file is open.
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    /// As the disk has them.
    durable_names: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    calls: u64,
    faults: Vec<(u64, Fault)>,
    is_dead: bool,
    kind: FsKind,
}

#[derive(Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Blocks written since the last synchronization, or the last one that failed: the others are not written by a later one.
    dirty: BTreeSet<usize>,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// The process ends; a write is cut off before it.
    Kill,
    Fails(io::ErrorKind),
    /// Half of a write is there, and the call fails.
    Half(io::ErrorKind),
}

pub(super) struct ModelLock(Arc<Mutex<State>>, PathBuf);

impl Drop for ModelLock {
    fn drop(&mut self) {
        self.0.lock().unwrap().locked.remove(&self.1);
    }
}

impl ModelFs {
    pub(super) fn new() -> Self {
        ModelFs::of_kind(FsKind::Local)
    }

    /// One of this kind.
    pub(super) fn of_kind(kind: FsKind) -> Self {
        let state = State {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            dirs: BTreeSet::new(),
            locked: BTreeSet::new(),
            calls: 0,
            faults: Vec::new(),
            is_dead: false,
            kind,
        };
        ModelFs(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Has the calls with these numbers, from now on, do this.
    pub(super) fn fail(&self, faults: &[(u64, Fault)]) {
        let mut state = self.state();
        let calls = state.calls;
        state.faults = faults.iter().map(|(call, fault)| (calls + call, *fault)).collect();
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// So many calls have been made.
    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// The next process finds what this one has written; after a power failure, what the disk has, and parts of the rest.
    pub(super) fn reboot(&self, power_failure: Option<u64>) {
        let mut state = self.state();
        state.locked.clear();
        state.faults.clear();
        state.is_dead = false;
        let Some(seed) = power_failure else { return };
        let mut rng = Rng::with_seed(seed);
        for file in &mut state.files {
            let len = if rng.bool() { file.now.len() } else { file.durable.len() };
            let mut content = vec![0; len];
            for (index, block) in content.chunks_mut(BLOCK).enumerate() {
                let from = if rng.bool() { &file.now } else { &file.durable };
                let source = from.get(index * BLOCK..).unwrap_or_default();
                let there = source.len().min(block.len());
                block[..there].copy_from_slice(&source[..there]);
            }
            *file = Content { now: content.clone(), durable: content, dirty: BTreeSet::new() };
        }
        // A name that was created or removed since may be as before.
        let all: BTreeSet<PathBuf> = state.names.keys().chain(state.durable_names.keys()).cloned().collect();
        for name in all {
            let (now, durable) = (state.names.get(&name).copied(), state.durable_names.get(&name).copied());
            if now != durable && rng.bool() {
                match durable {
                    Some(file) => drop(state.names.insert(name, file)),
                    None => drop(state.names.remove(&name)),
                }
            }
        }
        state.durable_names = state.names.clone();
    }

    /// Counts a call; an error if it is to fail. `true`: after half of it.
    fn call(&self) -> io::Result<(MutexGuard<'_, State>, Option<io::ErrorKind>)> {
        let mut state = self.state();
        if state.is_dead {
            return Err(io::Error::other("dead"));
        }
        let number = state.calls;
        state.calls += 1;
        match state.faults.iter().find(|(call, _)| *call == number).map(|(_, fault)| *fault) {
            None => Ok((state, None)),
            Some(Fault::Half(kind)) => Ok((state, Some(kind))),
            Some(Fault::Fails(kind)) => Err(kind.into()),
            Some(Fault::Kill) => {
                state.is_dead = true;
                Err(io::Error::other("killed"))
            }
        }
    }

    fn whole(&self) -> io::Result<MutexGuard<'_, State>> {
        let (state, half) = self.call()?;
        half.map_or(Ok(state), |kind| Err(kind.into()))
    }
}

impl SpoolFs for ModelFs {
    type File = usize;
    type Lock = ModelLock;

    fn kind(&self, _: &Path) -> io::Result<FsKind> {
        Ok(self.state().kind)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.whole()?.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.whole()?;
        let paths = state.names.keys().chain(&state.dirs);
        let inside = paths.filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn open(&self, path: &Path, is_new: bool) -> io::Result<usize> {
        let mut state = self.whole()?;
        match (state.names.get(path).copied(), is_new) {
            (Some(_), true) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), false) => Ok(file),
            (None, false) => Err(io::ErrorKind::NotFound.into()),
            (None, true) => {
                state.files.push(Content::default());
                let file = state.files.len() - 1;
                state.names.insert(path.to_owned(), file);
                Ok(file)
            }
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<ModelLock>> {
        let mut state = self.whole()?;
        if !state.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        if !state.names.contains_key(path) {
            state.files.push(Content::default());
            let file = state.files.len() - 1;
            state.names.insert(path.to_owned(), file);
        }
        Ok(Some(ModelLock(self.0.clone(), path.to_owned())))
    }

    fn len(&self, file: &usize) -> io::Result<u64> {
        Ok(self.whole()?.files[*file].now.len() as u64)
    }

    fn read_at(&self, file: &usize, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.whole()?;
        let there = state.files[*file].now.get(offset as usize..).unwrap_or_default();
        let len = there.len().min(buffer.len());
        buffer[..len].copy_from_slice(&there[..len]);
        Ok(len)
    }

    fn write_at(&self, file: &usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut state, half) = self.call()?;
        let bytes = if half.is_some() { &bytes[..bytes.len() / 2] } else { bytes };
        let Content { now, dirty, .. } = &mut state.files[*file];
        let end = offset as usize + bytes.len();
        dirty.extend(offset as usize / BLOCK..=end / BLOCK);
        if now.len() < end {
            now.resize(end, 0);
        }
        now[offset as usize..end].copy_from_slice(bytes);
        half.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn set_len(&self, file: &usize, len: u64) -> io::Result<()> {
        self.whole()?.files[*file].now.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        match self.whole() {
            Ok(mut state) => {
                let Content { now, durable, dirty } = &mut state.files[*file];
                durable.resize(now.len(), 0);
                for block in std::mem::take(dirty) {
                    let end = ((block + 1) * BLOCK).min(now.len());
                    if let Some(from) = now.get(block * BLOCK..end) {
                        durable[block * BLOCK..end].copy_from_slice(from);
                    }
                }
                Ok(())
            }
            Err(error) => {
                let mut state = self.state();
                if !state.is_dead {
                    state.files[*file].dirty.clear();
                }
                Err(error)
            }
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.whole()?;
        let names = state.names.clone();
        state.durable_names.retain(|path, _| path.parent() != Some(dir));
        let inside = names.into_iter().filter(|(path, _)| path.parent() == Some(dir));
        state.durable_names.extend(inside);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.whole()?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.whole()?.names.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.whole()?;
        if state.names.keys().any(|path| path.parent() == Some(dir)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.dirs.remove(dir);
        Ok(())
    }
}
