//! A test's thread: callers that wait.

use super::super::waiters::Waiters;
use std::cell::Cell;
use std::future::Future;
use std::task::{Context, Waker};

#[tokio::test(start_paused = true)]
async fn who_waits_tries_again_whenever_something_is_freed_and_never_in_between() {
    let (waiters, free, tries) = (Waiters::default(), Cell::new(0), Cell::new(0));
    let attempt = || {
        tries.set(tries.get() + 1);
        (free.get() >= 2).then_some(free.get())
    };
    let release = async {
        for _ in 0..2 {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            free.set(free.get() + 1);
            waiters.notify();
        }
    };
    assert_eq!(tokio::join!(waiters.wait_for(attempt), release).0, 2);
    assert_eq!((tries.get(), waiters.waiting()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn one_notification_is_for_all_who_wait_and_a_wait_that_is_dropped_leaves_nothing() {
    let (waiters, is_open) = (Waiters::default(), Cell::new(false));
    let wait = || waiters.wait_for(|| is_open.get().then_some(()));
    {
        let mut dropped = std::pin::pin!(wait());
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(waiters.waiting(), 1);
    }
    let open = async {
        tokio::task::yield_now().await;
        assert_eq!(waiters.waiting(), 3);
        is_open.set(true);
        waiters.notify();
    };
    tokio::join!(wait(), wait(), wait(), open);
    assert_eq!(waiters.waiting(), 0);
}
