//! Any thread: waits with a deadline in real time, under any executor or none.
//!
//! One detached thread of the process keeps the deadlines, so they hold under any executor, when the logger's runtime
//! is stuck, and when there is no runtime at all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::process;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Timers that no future awaits any more are removed when the heap has grown to this, then to twice what remained.
const SWEEP_THRESHOLD: usize = 64;

/// The timer thread's inbox, and the process that has the thread: a forked child has none of its parent's threads.
static TIMER: Mutex<Option<(u32, Sender<Timer>)>> = Mutex::new(None);

struct Timer {
    when: Instant,
    action: TimerAction,
}

enum TimerAction {
    Once(oneshot::Sender<()>),
    /// Called again after each period, for as long as it returns `true`.
    Every(Duration, Box<dyn FnMut() -> bool + Send>),
}

impl TimerAction {
    fn is_awaited(&self) -> bool {
        match self {
            TimerAction::Once(action) => !action.is_closed(),
            TimerAction::Every(..) => true,
        }
    }

    /// Fires the timer; returns the timer for its next time, if it has one. The waker of a waiting task is foreign code: its
    /// panic must not end the deadlines of the others.
    fn fire_contained(self) -> Option<Timer> {
        catch_unwind(AssertUnwindSafe(|| self.fire())).unwrap_or_else(|payload| {
            // Its destructor may panic too.
            mem::forget(payload);
            None
        })
    }

    fn fire(self) -> Option<Timer> {
        match self {
            TimerAction::Once(action) => {
                // An error means that no future waits any more.
                action.send(()).unwrap_or_default();
                None
            }
            TimerAction::Every(period, mut call) => {
                let when = Instant::now().checked_add(period)?;
                call().then(|| Timer { when, action: TimerAction::Every(period, call) })
            }
        }
    }
}

fn timer_thread() -> io::Result<Sender<Timer>> {
    // A std lock: held for a clone, or for the spawn of the one thread.
    let mut thread = TIMER.lock().unwrap_or_else(PoisonError::into_inner);
    let here = process::id();
    match &*thread {
        Some((process, timers)) if *process == here => Ok(timers.clone()),
        _ => {
            let (timers, inbox) = channel();
            thread::Builder::new().name("logweir-timer".into()).spawn(move || run(&inbox))?;
            *thread = Some((here, timers.clone()));
            Ok(timers)
        }
    }
}

/// Waits until `when`: returns at once if it is past, never if it is `None`.
///
/// Cancel-safe. Without a timer thread (a logger does not start without one) it returns at once: early beats never.
pub(crate) async fn at(when: Option<Instant>) {
    let Some(when) = when else { return std::future::pending().await };
    if when <= Instant::now() {
        return;
    }
    let (action, fired) = oneshot::channel();
    let sent =
        timer_thread().is_ok_and(|timers| timers.send(Timer { when, action: TimerAction::Once(action) }).is_ok());
    if sent {
        // An error means that the timer thread has stopped: the same as having fired.
        fired.await.unwrap_or_default();
    }
}

/// Calls `call` on the timer thread after each period, until it returns `false`. It must not block or panic.
///
/// # Errors
/// Returns an error if the operating system cannot spawn the thread.
pub(crate) fn every(period: Duration, call: impl FnMut() -> bool + Send + 'static) -> io::Result<()> {
    let timer = Timer { when: Instant::now() + period, action: TimerAction::Every(period, Box::new(call)) };
    timer_thread()?.send(timer).map_err(|_| io::Error::other("the timer thread is gone"))
}

fn run(inbox: &Receiver<Timer>) {
    let mut pending: BinaryHeap<Reverse<HeapEntry>> = BinaryHeap::new();
    let mut sweep_at = SWEEP_THRESHOLD;
    loop {
        let now = Instant::now();
        while pending.peek().is_some_and(|Reverse(next)| next.0.when <= now) {
            let next = pending.pop().and_then(|Reverse(HeapEntry(timer))| timer.action.fire_contained());
            pending.extend(next.map(|timer| Reverse(HeapEntry(timer))));
        }
        if pending.len() >= sweep_at {
            pending.retain(|Reverse(entry)| entry.0.action.is_awaited());
            sweep_at = (pending.len() * 2).max(SWEEP_THRESHOLD);
        }
        let received = match pending.peek() {
            Some(Reverse(next)) => inbox.recv_timeout(next.0.when.saturating_duration_since(now)),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(timer) => pending.push(Reverse(HeapEntry(timer))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

struct HeapEntry(Timer);

impl PartialEq for HeapEntry {
    fn eq(&self, other: &Self) -> bool {
        self.0.when == other.0.when
    }
}

impl Eq for HeapEntry {}

impl PartialOrd for HeapEntry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for HeapEntry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.when.cmp(&other.0.when)
    }
}

/// Drives `future` on this thread until it is ready or `until` passes (`None`: no limit).
///
/// Unlike an executor's `block_on` it may be called anywhere: inside a runtime, where the caller is responsible for
/// blocking it, and on a thread whose thread-locals are dropped, where [`std::thread::current`] panics.
pub(crate) fn block_until<F: Future>(future: F, until: Option<Instant>) -> Option<F::Output> {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut cx = Context::from_waker(&waker);
    // The calling task's cooperative budget must not be spent here: once it is spent, a channel would look busy
    // forever.
    let mut future = pin!(tokio::task::coop::unconstrained(future));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        if !bell.wait_until(until) {
            return None;
        }
    }
}

/// Wakes a thread that waits for it.
#[derive(Default)]
struct Bell {
    // A std lock: held to read or set it.
    is_rung: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    /// Waits until it rings; returns whether it rang before `until`.
    fn wait_until(&self, until: Option<Instant>) -> bool {
        let mut is_rung = self.is_rung.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if mem::take(&mut *is_rung) {
                return true;
            }
            is_rung = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.rung.wait(is_rung).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return false,
                Some(left) => self.rung.wait_timeout(is_rung, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.is_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_leaves_the_threads_park_token_alone() {
        let (send, receive) = oneshot::channel();
        thread::current().unpark();
        let answer = thread::spawn(move || send.send(7));
        assert_eq!(block_until(receive, None), Some(Ok(7)));
        answer.join().unwrap().unwrap();
        // Returns at once: the token that was there before the wait is there still.
        thread::park();
    }

    #[test]
    fn a_waker_that_panics_ends_no_other_deadline() {
        struct Panics;

        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("scripted");
            }
        }

        let soon = Instant::now() + Duration::from_millis(20);
        let mut woken = pin!(at(Some(soon)));
        let waker = Waker::from(Arc::new(Panics));
        assert!(woken.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        block_until(at(Some(soon + Duration::from_millis(20))), None).expect("the timer thread continues");
    }

    #[test]
    fn a_wait_ends_at_its_time() {
        let until = Instant::now() + Duration::from_millis(1);
        assert!(block_until(std::future::pending::<()>(), Some(until)).is_none());
        assert!(Instant::now() >= until);
    }
}
