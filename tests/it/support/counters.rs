//! Sinks without a script that count what they are given and check its order.

use std::sync::{Arc, Condvar, Mutex};

use logweir::{Batch, Event, Level, Sink, SinkError, async_trait};

use super::{PATIENCE, is_notice};

/// What a sink without a script was given, for tests outside every runtime. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<(Mutex<Vec<u64>>, Condvar)>);

impl Told {
    pub(crate) fn sink(&self) -> ToldSink {
        ToldSink(self.clone())
    }

    pub(crate) fn tell(&self, batch: &Batch) {
        self.0
            .0
            .lock()
            .unwrap()
            .extend(batch.iter().map(|record| record.message().to_string().parse::<u64>().unwrap()));
        self.0.1.notify_all();
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.0.0.lock().unwrap().clone()
    }

    pub(crate) fn seen(&self) -> u64 {
        self.numbers().len() as u64
    }

    /// Blocks until it has so many, and returns what it has.
    pub(crate) fn wait_for(&self, events: usize) -> Vec<u64> {
        let numbers = self.0.0.lock().unwrap();
        let (numbers, _) = self.0.1.wait_timeout_while(numbers, PATIENCE, |numbers| numbers.len() < events).unwrap();
        assert!(numbers.len() >= events, "waited for {events}: {numbers:?}");
        numbers.clone()
    }
}

/// Takes everything and tells it.
pub(crate) struct ToldSink(Told);

#[async_trait]
impl Sink for ToldSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if !is_notice(batch) {
            self.0.tell(batch);
        }
        Ok(())
    }
}

/// Checks the order of events that carry their producer and its running number, without keeping them.
#[derive(Clone, Default)]
pub(crate) struct OrderSink(Arc<Mutex<Orders>>);

#[derive(Default)]
struct Orders {
    next: Vec<u64>,
    seen: u64,
    wrong: Vec<(usize, u64, u64)>,
}

impl OrderSink {
    pub(crate) fn event(producer: usize, number: u64) -> Event {
        logweir::new_event!(Level::Info, "numbered", producer, number)
    }

    pub(crate) fn seen(&self) -> u64 {
        self.0.lock().unwrap().seen
    }

    /// Every producer's events are here, each once and in order.
    pub(crate) fn assert_whole(&self, producers: usize, events: u64) {
        let orders = self.0.lock().unwrap();
        assert_eq!(orders.wrong, [], "(producer, expected, got)");
        assert_eq!(orders.next, vec![events; producers]);
    }
}

#[async_trait]
impl Sink for OrderSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if is_notice(batch) {
            return Ok(());
        }
        let mut orders = self.0.lock().unwrap();
        for record in batch.iter() {
            let field = |name| match record.field(name) {
                Some(logweir::Value::U64(number)) => number,
                other => panic!("{name} is {other:?}"),
            };
            let (producer, number) = (field("producer") as usize, field("number"));
            if orders.next.len() <= producer {
                orders.next.resize(producer + 1, 0);
            }
            let expected = std::mem::replace(&mut orders.next[producer], number + 1);
            if expected != number && orders.wrong.len() < 10 {
                orders.wrong.push((producer, expected, number));
            }
            orders.seen += 1;
        }
        Ok(())
    }
}
