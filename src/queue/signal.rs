//! Any thread: the signal that wakes the flush task, which sleeps on it.

use std::sync::OnceLock;

use super::sync::{AtomicBool, AtomicUsize, Notify, Ordering};

/// Called when a rest ends, with the number of rests so far.
type Resumed = Box<dyn Fn(usize) + Send + Sync>;

/// Wakes the flush task, which sleeps here, not in a lane.
#[derive(Default)]
pub(crate) struct WakeSignal {
    raised: AtomicBool,
    notify: Notify,
    /// How often the flush task began and ended a rest: odd while it rests.
    rests: AtomicUsize,
    resumed: OnceLock<Resumed>,
}

impl WakeSignal {
    /// Wakes the flush task, unless a wake-up is on its way. Called after the event was put into its lane.
    ///
    /// A load is enough if the flag is raised: either the flush task has yet to lower it, before it takes the lane's lock,
    /// or it had lowered it before it took that lock, which was before the event was put there, and the load would see that.
    #[inline]
    pub(crate) fn raise(&self) {
        if !self.raised.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        if !self.raised.swap(true, Ordering::Relaxed) {
            self.end_rest();
            self.notify.notify_one();
        }
    }

    /// Begins a rest: what runs only while there is something to do may end.
    pub(super) fn begin_rest(&self) {
        self.rests.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the rest, if there is one.
    pub(super) fn end_rest(&self) {
        let rests = self.rests.load(Ordering::Relaxed);
        let is_rest = rests % 2 == 1;
        if is_rest
            && self.rests.compare_exchange(rests, rests + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && let Some(resumed) = self.resumed.get()
        {
            resumed(rests + 1);
        }
    }

    /// Returns how often a rest began or ended.
    pub(crate) fn rests(&self) -> usize {
        self.rests.load(Ordering::Relaxed)
    }

    /// Sets what is to be called, once, when a rest ends, with the new number of [`WakeSignal::rests`]. It must not log.
    pub(crate) fn on_resumed(&self, resumed: impl Fn(usize) + Send + Sync + 'static) {
        self.resumed.get_or_init(|| Box::new(resumed));
    }

    /// Lowers the flag. Called before the drain that it requests.
    pub(crate) fn lower(&self) {
        // A read-modify-write, like that of a caller: each of them comes before this one or after it.
        self.raised.swap(false, Ordering::Relaxed);
    }

    /// Wakes the flush task for something that is not in a lane.
    pub(crate) fn nudge(&self) {
        self.notify.notify_one();
    }

    /// Sleeps until raised or nudged. Cancel-safe.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }
}
