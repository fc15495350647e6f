//! A service thread: holds the lock of standard output or standard error for another thread that writes to it.
//!
//! `println!` and `eprintln!` write some lines in several pieces and hold this lock meanwhile. A sink's thread cannot
//! wait for the lock itself: std has no bound for that wait, and an application may hold the lock for its whole life. So
//! one thread for each stream waits, and the sink's thread waits for that thread, with a bound.
//!
//! Invariants:
//! * At most one thread has the lock through a [`StdLock`].
//! * A wait ends after [`GIVE_UP`] in which the stream accepts bytes: a holder that its reader stops is waited for.
//! * After such a wait nothing waits again until the application has released the lock.

use std::io::{self, StderrLock, StdoutLock};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::stream::Stream;

/// How long a wait for a lock lasts whose holder could write but does not.
const GIVE_UP: Duration = Duration::from_millis(100);
/// The pause between two checks of the stream during a wait.
const CHECK: Duration = Duration::from_millis(10);

static STDOUT: StdLock = StdLock::new(Stream::Stdout);
static STDERR: StdLock = StdLock::new(Stream::Stderr);

/// Returns the lock of a stream, for bounded waits.
pub(super) fn std_lock(stream: Stream) -> &'static StdLock {
    match stream {
        Stream::Stdout => &STDOUT,
        Stream::Stderr => &STDERR,
    }
}

/// The lock of a standard stream, as its thread has it.
pub(super) struct StdLock {
    stream: Stream,
    // A std lock: held to change the state.
    state: Mutex<LockState>,
    /// Wakes the stream's thread.
    wanted: Condvar,
    /// Wakes the threads that wait for it.
    changed: Condvar,
    started: OnceLock<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LockState {
    /// No thread wants the lock.
    Free,
    /// A thread waits until the stream's thread has the lock.
    Wanted,
    /// The stream's thread has the lock for the thread that wanted it.
    Held,
    /// The stream's thread is about to release the lock.
    Released,
    /// The stream's thread waits for the lock; the thread that wanted it does not.
    GivenUp,
}

impl StdLock {
    const fn new(stream: Stream) -> Self {
        StdLock {
            stream,
            state: Mutex::new(LockState::Free),
            wanted: Condvar::new(),
            changed: Condvar::new(),
            started: OnceLock::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, LockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this thread has the lock. None: the application keeps it, although the stream accepts bytes.
    pub(super) fn acquire(&'static self) -> Option<StdLockGuard> {
        if !self.is_started() {
            return None;
        }
        let mut state = self.state();
        // Whether the state belongs to this thread, and since when the stream accepts bytes.
        let (mut mine, mut since) = (false, Instant::now());
        loop {
            match *state {
                LockState::Held if mine => return Some(StdLockGuard(self)),
                LockState::GivenUp => return None,
                LockState::Free => {
                    (*state, mine) = (LockState::Wanted, true);
                    self.wanted.notify_one();
                }
                LockState::Wanted | LockState::Held | LockState::Released => {}
            }
            let (next, wait) = self.changed.wait_timeout(state, CHECK).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if !wait.timed_out() || mine && *state == LockState::Held {
                continue;
            }
            if !self.stream.accepts_bytes() {
                since = Instant::now();
            } else if since.elapsed() >= GIVE_UP {
                if mine {
                    *state = LockState::GivenUp;
                }
                return None;
            }
        }
    }

    /// Waits, for a moment at most, until a released lock is free for the application.
    pub(super) fn settle(&self) {
        let is_released = |state: &mut LockState| *state == LockState::Released;
        let waited = self.changed.wait_timeout_while(self.state(), GIVE_UP, is_released);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn is_started(&'static self) -> bool {
        *self.started.get_or_init(|| {
            let name = match self.stream {
                Stream::Stdout => "logweir-outlock",
                Stream::Stderr => "logweir-errlock",
            };
            thread::Builder::new().name(name.to_owned()).spawn(|| self.run()).is_ok()
        })
    }

    /// The main loop of the stream's thread.
    fn run(&self) {
        loop {
            let is_unwanted = |state: &mut LockState| *state != LockState::Wanted;
            let state = self.wanted.wait_while(self.state(), is_unwanted);
            drop(state.unwrap_or_else(PoisonError::into_inner));
            let lock = HeldLock::wait_for(self.stream);
            let mut state = self.state();
            if *state == LockState::Wanted {
                *state = LockState::Held;
                self.changed.notify_all();
                let is_held = |state: &mut LockState| *state == LockState::Held;
                state = self.wanted.wait_while(state, is_held).unwrap_or_else(PoisonError::into_inner);
            }
            drop(lock);
            *state = LockState::Free;
            self.changed.notify_all();
        }
    }
}

/// The lock itself, which cannot leave its thread.
enum HeldLock {
    Stdout { _lock: StdoutLock<'static> },
    Stderr { _lock: StderrLock<'static> },
}

impl HeldLock {
    fn wait_for(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => HeldLock::Stdout { _lock: io::stdout().lock() },
            Stream::Stderr => HeldLock::Stderr { _lock: io::stderr().lock() },
        }
    }
}

/// Releases the lock when dropped; [`StdLock::settle`] waits for that.
pub(super) struct StdLockGuard(&'static StdLock);

impl Drop for StdLockGuard {
    fn drop(&mut self) {
        *self.0.state() = LockState::Released;
        self.0.wanted.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Not the ones that sinks use.
    static LOCK: StdLock = StdLock::new(Stream::Stderr);

    #[test]
    fn a_wait_for_a_lock_that_is_kept_ends_and_the_lock_is_used_again_when_it_is_released() {
        for _ in 0..100 {
            drop(LOCK.acquire().expect("nothing keeps it"));
            LOCK.settle();
            // Also for the application.
            assert_eq!(*LOCK.state(), LockState::Free);
        }
        let kept = io::stderr().lock();
        let began = Instant::now();
        assert!(LOCK.acquire().is_none());
        assert!(began.elapsed() >= GIVE_UP);
        assert_eq!(*LOCK.state(), LockState::GivenUp);
        drop(kept);
        let is_busy = |state: &mut LockState| *state != LockState::Free;
        drop(LOCK.changed.wait_while(LOCK.state(), is_busy).unwrap());
        assert!(LOCK.acquire().is_some());
    }
}
