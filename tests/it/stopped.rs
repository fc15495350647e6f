//! A caller that is stopped in the middle of its call.
//!
//! Where a lane's open chunk is full and no empty one is there, the caller asks the allocator for one. An allocator that
//! holds up this one thread stops it exactly there, as a debugger or the system's scheduler may, without a hook in the library.

#![allow(unsafe_code, reason = "there is no other way to be an allocator")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Condvar, Mutex};
use std::thread::JoinHandle;

use logweir::{Event, Logger};

use crate::support::PATIENCE;

/// How many events a chunk has room for: the caller after so many others asks for the next one.
pub(crate) const CHUNK: u64 = 64;

struct Stops;

#[global_allocator]
static ALLOCATOR: Stops = Stops;

thread_local! {
    /// Where this thread is held up when it next asks for the memory of a chunk.
    static HALT: Cell<Option<&'static Halt>> = const { Cell::new(None) };
}

// SAFETY: all memory comes from the system's allocator and goes back to it; waiting on a std lock allocates nothing where
// these tests run, and if it did, the thread is no longer marked by then.
unsafe impl GlobalAlloc for Stops {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= CHUNK as usize * size_of::<Event>()
            && let Ok(Some(halt)) = HALT.try_with(Cell::take)
        {
            halt.stop();
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[derive(Default)]
struct Halt {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_there: bool,
    may_go: bool,
}

impl Halt {
    fn stop(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_there = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.may_go).unwrap());
    }

    fn wait_for_it(&self) {
        let state = self.state.lock().unwrap();
        let (state, _) = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.is_there).unwrap();
        assert!(state.is_there, "the caller asks for a chunk");
    }

    fn let_go(&self) {
        self.state.lock().unwrap().may_go = true;
        self.changed.notify_all();
    }
}

/// A thread in the middle of its `emit`; dropped, it goes on.
pub(crate) struct StoppedCaller {
    halt: &'static Halt,
    thread: Option<JoinHandle<()>>,
}

impl StoppedCaller {
    /// Emits on a thread of its own, which is stopped half-way. The lane must have been sent whole chunks before, and
    /// have room.
    pub(crate) fn emit(logger: &Logger, event: Event) -> Self {
        let (logger, halt) = (logger.clone(), &*Box::leak(Box::<Halt>::default()));
        let thread = std::thread::spawn(move || {
            HALT.set(Some(halt));
            logger.emit(event);
            HALT.set(None);
        });
        halt.wait_for_it();
        StoppedCaller { halt, thread: Some(thread) }
    }

    /// Returns when its call has returned.
    pub(crate) fn go_on(mut self) {
        self.halt.let_go();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for StoppedCaller {
    fn drop(&mut self) {
        self.halt.let_go();
    }
}
