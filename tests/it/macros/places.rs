//! Where a log call may be, and when its values are evaluated.

use std::cell::Cell;
use std::fmt;

use logweir::event::ToValue;
use logweir::{Event, Level, info, log, new_event};

use super::{message, shown};

#[test]
fn values_are_evaluated_once_and_in_order() {
    let calls = Cell::new(0);
    let next = || {
        calls.set(calls.get() + 1);
        calls.get()
    };
    let event = new_event!(Level::Info, "{c} {a} {a} {b}", a = next(), b = %next(), c = ?next(), "d" = next());
    assert_eq!(shown(&event), r#"{"a": I64(1), "b": Str("2"), "c": Debug("3"), "d": I64(4)}"#);
    assert_eq!(message(&event), "3 1 1 2");
    assert_eq!(calls.get(), 4);
}

#[test]
fn a_value_may_leave_the_function() {
    fn parse(text: &str) -> Result<Event, std::num::ParseIntError> {
        Ok(new_event!(Level::Info, "{n}", n = text.parse::<u8>()?))
    }
    assert_eq!(message(&parse("7").unwrap()), "7");
    assert!(parse("x").is_err());
}

#[test]
fn events_nest_in_each_others_fields() {
    let event = new_event!(
        Level::Info,
        "outer {n} {inner}",
        n = 1,
        inner = %new_event!(Level::Info, "inner {n}", n = { info!("{n}", n = 3); 2 }).message(),
    );
    assert_eq!(message(&event), "outer 1 inner 2");
}

#[test]
fn a_log_call_stands_wherever_an_expression_does() {
    fn generic<T: fmt::Debug + ToValue, const N: usize>(value: T) -> Event {
        info!("{value} {n}", value, n = N);
        new_event!(Level::Info, "{value} {n} {d}", value, n = N, d = ?value)
    }
    assert_eq!(message(&generic::<_, 3>("x")), "x 3 \"x\"");
    assert_eq!(message(&generic::<_, 4>(5_u8)), "5 4 5");
    let closure = |n: u8| info!("{n}", n);
    closure(1);
    let units: [(); 2] = [info!("x",), info!("{n}", n = 1)];
    assert_eq!(units.len(), 2);
    match 1 {
        1 => info!("one"),
        n => log!(Level::Warn, "{n}", n),
    }
    if units.is_empty() {
        info!("no")
    } else {
        info!("yes")
    }
    fn tail(name: String) {
        info!("{name}", name)
    }
    tail(String::new());
}

#[test]
fn a_future_that_logs_may_move_between_threads() {
    fn send<T: Send>(future: T) -> T {
        future
    }
    async fn value() -> &'static str {
        "later"
    }
    let future = send(async {
        info!("{v}", v = value().await, w = %value().await);
        new_event!(Level::Info, "{v} {w}", v = value().await, w = ?value().await)
    });
    let event = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
    assert_eq!(message(&event), "later \"later\"");
}
