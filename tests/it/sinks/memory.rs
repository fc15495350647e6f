//! The sinks that keep events in memory, and the one that discards them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use logweir::sink::{MemorySink, NullSink, WaitError};
use logweir::{Event, Level, Sink, Value};

use super::batch;

#[tokio::test]
async fn memory_keeps_the_newest_events_and_counts_all() {
    let memory = MemorySink::new().capacity(3);
    let mut sink = memory.clone();
    assert!(memory.is_empty());
    sink.write(&batch(["1", "2"])).await.unwrap();
    sink.write(&batch(["3", "4"])).await.unwrap();
    let messages = || memory.events().iter().map(|event| event.message()).collect::<Vec<_>>();
    assert_eq!(messages(), ["2", "3", "4"]);
    sink.write(&batch(["5", "6", "7", "8", "9"])).await.unwrap();
    assert_eq!(messages(), ["7", "8", "9"]);
    assert_eq!((memory.len(), memory.total(), memory.written_bytes()), (3, 9, 0));

    let memory = memory.capacity(1);
    assert_eq!(memory.events()[0].message(), "9");
    memory.clear();
    assert_eq!((memory.len(), sink.total()), (0, 9));
}

#[tokio::test]
async fn a_captured_event_tells_all_it_was_logged_with() {
    let mut memory = MemorySink::new();
    let event = Event::new(Level::Warn, "shop", "paid").with_source(Some("shop::pay"), Some("pay.rs"), Some(7));
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1);
    memory.write(&[event.with("order", 12u64).with_timestamp(time)].into_iter().collect()).await.unwrap();

    let captured = &memory.events()[0];
    assert_eq!((captured.level(), captured.target(), captured.message()), (Level::Warn, "shop", "paid".to_owned()));
    assert_eq!((captured.module(), captured.file(), captured.line()), (Some("shop::pay"), Some("pay.rs"), Some(7)));
    assert_eq!((captured.template(), captured.timestamp(), captured.is_truncated()), (None, time, false));
    assert_eq!(captured.field("order"), Some(Value::U64(12)));
    assert_eq!(captured.field("user"), None);
    assert_eq!(captured.fields().count(), 1);
    assert_eq!(captured.event().level(), Level::Warn);
}

#[tokio::test(start_paused = true)]
async fn wait_for_returns_when_enough_was_written() {
    let memory = MemorySink::new();
    let mut sink = memory.clone();
    let writing = async {
        for message in ["1", "2", "3"] {
            tokio::time::sleep(Duration::from_secs(60)).await;
            sink.write(&batch([message])).await.unwrap();
        }
    };
    let start = tokio::time::Instant::now();
    let (events, ()) = tokio::join!(
        async {
            let events = memory.wait_for(2, Duration::MAX).await.unwrap();
            assert_eq!(start.elapsed().as_secs(), 120);
            events
        },
        writing
    );
    assert_eq!(events.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn wait_for_says_how_many_came_in_time() {
    let memory = MemorySink::new();
    memory.clone().write(&batch(["1"])).await.unwrap();
    let start = tokio::time::Instant::now();
    let error: WaitError = memory.wait_for(2, Duration::from_secs(3600)).await.unwrap_err();
    assert_eq!((error.wanted, error.seen), (2, 1));
    assert_eq!(error.to_string(), "waited for 2 events, 1 were written in time");
    assert_eq!(start.elapsed().as_secs(), 3600);
    assert_eq!(memory.wait_for(1, Duration::ZERO).await.unwrap().len(), 1);
}

#[test]
fn wait_for_needs_no_runtime() {
    let memory = MemorySink::new();
    let mut sink = memory.clone();
    let writing = thread::spawn(move || block_on(sink.write(&batch(["1"]))).unwrap());
    assert_eq!(block_on(memory.wait_for(1, Duration::MAX)).unwrap().len(), 1);
    writing.join().unwrap();
    assert_eq!(block_on(memory.wait_for(2, Duration::from_millis(1))).unwrap_err().seen, 1);
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[tokio::test]
async fn the_null_sink_takes_everything() {
    let mut sink = NullSink;
    sink.open().unwrap();
    sink.write(&batch(["one"])).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(sink.written_bytes(), 0);
}
