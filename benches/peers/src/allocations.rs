//! Counts allocations, in the one scenario that asks for it.
//!
//! Everybody else pays for a relaxed load and a branch that is always predicted, all peers alike; no counter is shared
//! unless it is counted.

#![allow(unsafe_code, reason = "a global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// How often the whole process allocates or grows an allocation until [`Count::end`].
pub struct Count(());

impl Count {
    pub fn begin() -> Self {
        COUNT.store(0, Relaxed);
        ON.store(true, Relaxed);
        Count(())
    }

    pub fn end(self) -> u64 {
        ON.store(false, Relaxed);
        COUNT.load(Relaxed)
    }
}

struct Counting;

impl Counting {
    fn count(&self) {
        if ON.load(Relaxed) {
            COUNT.fetch_add(1, Relaxed);
        }
    }
}

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: as promised to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: as promised to us.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count();
        // SAFETY: as promised to us.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as promised to us.
        unsafe { System.dealloc(place, layout) }
    }
}
