//! Formatting that fails, never ends, panics or logs.

use std::fmt;

use logweir::{Level, Value, err, info, new_event};

use super::{message, shown};

struct Writes(fn(&mut fmt::Formatter<'_>) -> fmt::Result);

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(f)
    }
}

impl fmt::Debug for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(f)
    }
}

impl std::error::Error for Writes {}

#[test]
fn a_formatting_that_fails_is_cut_and_marked() {
    let fails = Writes(|f| {
        f.write_str("half")?;
        Err(fmt::Error)
    });
    let event = new_event!(Level::Info, "{a}", a = %fails, b = ?fails, c = err(&fails), d = 1);
    assert_eq!(
        shown(&event),
        r#"{"a": Str("half…(formatting failed)"), "b": Debug("half…(formatting failed)"), "c": Error(["half…(formatting failed)"]), "d": I64(1)}"#
    );
    assert_eq!(event.fields().nth(2), Some(("c", err(&fails))), "also where the error is still live");

    let long = Writes(|f| {
        f.write_str(&"x".repeat(1000))?;
        Err(fmt::Error)
    });
    let event = new_event!(Level::Info, "", a = %long, b = 1);
    assert_eq!(event.fields().next(), Some(("a", Value::Str(&("x".repeat(1000) + "…(formatting failed)")))));
    assert_eq!(event.fields().last(), Some(("b", Value::I64(1))));
}

#[test]
fn a_formatting_that_never_ends_is_cut_and_marked() {
    let endless = Writes(|f| {
        let block = "x".repeat(1 << 20);
        loop {
            f.write_str(&block)?;
        }
    });
    // It may also ignore that it was told to stop.
    let deaf = Writes(|f| {
        let block = "x".repeat(1 << 20);
        for _ in 0..65 {
            f.write_str(&block).unwrap_or(());
        }
        Ok(())
    });
    for event in [new_event!(Level::Info, "", a = %endless, b = 1), new_event!(Level::Info, "", a = %deaf, b = 1)] {
        let Some((_, Value::Str(text))) = event.fields().next() else { panic!() };
        let text = text.strip_suffix("…(formatting failed)").expect("the mark");
        assert_eq!(text.len(), 64 << 20);
        assert_eq!(event.fields().last(), Some(("b", Value::I64(1))));
    }
}

#[test]
fn a_formatting_that_panics_panics_in_the_caller() {
    let caught =
        std::panic::catch_unwind(|| new_event!(Level::Info, "", a = 1, b = %Writes(|_| panic!("mine")), c = 2));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"mine"));
    assert_eq!(shown(&new_event!(Level::Info, "", a = 1)), r#"{"a": I64(1)}"#, "the next event is whole");
}

#[test]
fn a_formatting_may_log() {
    let logs = Writes(|f| {
        info!("inside", a = 1);
        let inner = new_event!(Level::Debug, "inner {a}", a = %"x".repeat(200));
        write!(f, "<{}>", inner.message())
    });
    let event = new_event!(Level::Info, "outer {a} {b}", a = %logs, b = 1);
    assert_eq!(message(&event), format!("outer <inner {}> 1", "x".repeat(200)));
}
