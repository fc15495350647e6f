//! Sinks that block, on threads of their own.

use std::error::Error;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use logweir::Blocking;
use logweir::sink::BlockingSink;
use logweir::sink::SinkErrorKind;
use logweir::{Batch, Sink, SinkError};

use super::{batch, drop_unanswered};

/// Says when a write began, and ends it when it is told to.
struct Gated {
    began: mpsc::Sender<()>,
    gate: mpsc::Receiver<()>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl BlockingSink for Gated {
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.began.send(()).map_err(SinkError::permanent)?;
        self.gate.recv().map_err(SinkError::permanent)?;
        self.seen.lock().unwrap().extend(batch.iter().map(|record| record.message().to_string()));
        Ok(())
    }
}

struct Gate {
    began: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
    seen: Arc<Mutex<Vec<String>>>,
}

fn gated() -> (Blocking<Gated>, Gate) {
    let ((began, has_begun), (open, gate), seen) = (mpsc::channel(), mpsc::channel(), Arc::default());
    let mut sink = Blocking::new(Gated { began, gate, seen: Arc::clone(&seen) });
    sink.open().unwrap();
    (sink, Gate { began: has_begun, open, seen })
}

#[tokio::test]
async fn a_write_whose_future_was_dropped_keeps_its_place_and_is_not_repeated() {
    let (mut sink, gate) = gated();
    drop_unanswered(sink.write(&batch(["one"])));
    gate.began.recv().unwrap();

    // The next call waits for the one before it, and starts nothing meanwhile; dropped here, it never was.
    drop_unanswered(sink.write(&batch(["never"])));
    assert_eq!(gate.began.try_recv(), Err(mpsc::TryRecvError::Empty));

    gate.open.send(()).unwrap();
    gate.open.send(()).unwrap();
    sink.write(&batch(["two"])).await.unwrap();
    assert_eq!(*gate.seen.lock().unwrap(), ["one", "two"]);
}

#[test]
fn a_sink_that_blocks_for_ever_holds_up_no_drop() {
    let (mut sink, gate) = gated();
    drop_unanswered(sink.write(&batch(["one"])));
    gate.began.recv().unwrap();
    drop(sink);

    // It got here. When the write returns after all, the thread ends and drops its sink.
    gate.open.send(()).unwrap();
    assert_eq!(gate.began.recv(), Err(mpsc::RecvError));
    assert_eq!(*gate.seen.lock().unwrap(), ["one"]);
}

/// Does as each event's message says.
struct Told(u64);

/// A panic that panics when it is caught.
struct Twice;

impl Drop for Twice {
    fn drop(&mut self) {
        panic!("again");
    }
}

impl BlockingSink for Told {
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        for (index, record) in batch.iter().enumerate() {
            match record.message().to_string().as_str() {
                "panic" => panic!("as told"),
                "twice" => std::panic::panic_any(Twice),
                "reject" => return Err(SinkError::rejected("as told").with_delivered(index)),
                name => assert_eq!(thread::current().name(), Some(name)),
            }
            self.0 += 1;
        }
        Ok(())
    }

    fn written_bytes(&self) -> u64 {
        self.0
    }
}

#[tokio::test]
async fn a_blocking_sink_answers_from_its_own_thread() {
    let mut sink = Blocking::new(Told(7)).name("mine\0");
    assert_eq!(sink.written_bytes(), 7);
    sink.open().unwrap();
    sink.write(&batch(["mine"])).await.unwrap();
    assert_eq!(sink.written_bytes(), 8);
    let error = sink.write(&batch(["mine", "reject"])).await.unwrap_err();
    assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Rejected, 1));
    assert_eq!(sink.written_bytes(), 9);
    let error = sink.write(&batch(["panic"])).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Panic);
    assert_eq!(error.source().unwrap().to_string(), "as told");
    sink.write(&batch(["mine"])).await.unwrap();
    sink.close().await.unwrap();
}

#[tokio::test]
async fn a_sink_without_a_thread_is_unusable_and_none_loses_it_to_a_panic_that_panics() {
    let mut sink = Blocking::new(Told(0));
    assert_eq!(sink.write(&batch(["logweir-sink"])).await.unwrap_err().kind(), SinkErrorKind::Permanent);
    sink.open().unwrap();
    sink.write(&batch(["logweir-sink"])).await.unwrap();
    let error = sink.write(&batch(["twice"])).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Panic);
    assert_eq!(error.source().unwrap().to_string(), "a panic without a message");
    sink.write(&batch(["logweir-sink"])).await.unwrap();
}
