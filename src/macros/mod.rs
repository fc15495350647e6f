//! At compile time: turns a log call into a static call site, and the code that builds and emits its event.
//!
//! In: the calls of the program: [`info!`](crate::info) and its siblings, [`new_event!`](macro@crate::new_event),
//! `fields!`.
//!
//! Out: at the place of the call, a static `Callsite` of `event` with its parsed template. At run time the code there
//! reads the logger's filter and the call's `Sampler` (`filter`), encodes the fields (`value`), and gives the event to
//! `logger`.
//!
//! Invariants:
//! * The fields are evaluated only if the event passes the filter and the sampling.
//! * A template that does not parse, a hole without its field, or two fields of one name do not compile.
//! * An expansion names only items of `$crate`, most of them in `__private` of lib.rs.
//!
//! Next: `event` encodes the fields.
//!
//! A new prefix or kind of field is an arm of the muncher in `expand`, and a sigil also a function in `value`; a new
//! macro is added here. The syntax of templates is in `event`.

mod expand;
mod value;

pub use value::*;

/// Makes an [`Event`](crate::Event) without emitting it: the level, the template, the fields.
///
/// ```
/// use logweir::{Level, Value, new_event};
///
/// let user = "ada";
/// let event = new_event!(Level::Info, "{user} paid {amount:.2}", user, amount = 12.5, http.status = 200);
/// assert_eq!(event.message().to_string(), "ada paid 12.50");
/// assert_eq!(event.fields().count(), 3);
/// assert_eq!(event.fields().last(), Some(("http.status", Value::I64(200))));
/// ```
///
/// The level may be any expression, a constant or not. The other macros of this crate take the same template and
/// fields; [`info!`](crate::info) describes what they do beyond it.
///
/// # Prefixes
/// Before the template, in any order:
///
/// * `target: "payments",` the target, by which filters decide: a constant. Default: the path of the module.
/// * `logger: expr,` the logger of the event; not for `new_event!`, which emits nothing.
/// * `every: n,` or `at_most: n, per: time,` the sampling of this call; not for `new_event!`. See
///   [`info!`](crate::info#sampling).
///
/// # Templates
/// A constant `&str` in the [message templates](https://messagetemplates.org) syntax, checked when the call compiles:
///
/// * `{name}` is filled with the field of that name, given after the template. A hole without its field does not
///   compile.
/// * `{{` and `}}` are braces.
/// * `{name,10}` pads with spaces on the left to at least 10 characters, `{name,-10}` on the right; at most 256.
/// * `{name:.2}` writes a float with so many digits after the point (at most 32), `{name:x}` and `{name:X}` an integer
///   in hexadecimal (a negative one as 64 or 128 bits), `{name:X}` bytes in upper case, `{name:e}` a number with an
///   exponent. A value that the format does not suit is written plain. `{name,10:.2}` has both.
///
/// ```
/// # use logweir::{Level, new_event};
/// let event = new_event!(Level::Info, "[{name,-6}|{n,6:x}] {{{ratio:.1}}}", name = "weir", n = 255, ratio = 0.25);
/// assert_eq!(event.message().to_string(), "[weir  |    ff] {0.2}");
/// ```
///
/// # Fields
/// Fields are separated by commas; one more may end the list. A field need not be in the template. Two fields of one
/// name do not compile. Values are evaluated once, in the order of the call.
///
/// | field | value |
/// |---|---|
/// | `name = value` | typed, by [`ToValue`](crate::event::ToValue): numbers stay numbers, `None` is null |
/// | `name = %value` | text, by [`Display`](std::fmt::Display) |
/// | `name = ?value` | text, by [`Debug`](std::fmt::Debug) |
/// | `name = @value` | JSON, by `serde::Serialize` (feature `serde`) |
/// | `name = err(&error)` | an error with the chain of its sources, see [`err`](crate::err) |
/// | `name`, `%name`, `?name`, `@name` | short for `name = name` and so on |
///
/// Names may be dotted (`http.status = 200`; the short form `request.path` is the field `request.path` with that
/// expression's value), raw (`r#type` is the field `type`) or quoted (`"content-type" = "text/html"`).
///
/// ```
/// # use logweir::{Level, Value, new_event};
/// struct Request { path: String, r#type: u8 }
///
/// let request = Request { path: "/".into(), r#type: 7 };
/// let addr = std::net::Ipv4Addr::LOCALHOST;
/// let event = new_event!(Level::Debug, "served", request.path, request.r#type, %addr, "x-y" = ?Some(1), none = None::<u8>);
/// let fields: Vec<_> = event.fields().collect();
/// assert_eq!(fields, [
///     ("request.path", Value::Str("/")),
///     ("request.type", Value::U64(7)),
///     ("addr", Value::Str("127.0.0.1")),
///     ("x-y", Value::Debug("Some(1)")),
///     ("none", Value::Null),
/// ]);
/// ```
///
/// A `Display` or `Debug` that fails leaves the text it has written and a mark. One that panics panics here.
#[macro_export]
macro_rules! new_event {
    ($($call:tt)*) => { $crate::__logweir!({event [] [] [] []} $($call)*) };
}

/// Emits an event whose level is known only at run time: `log!(level, "..")`. Otherwise like [`info!`](crate::info).
///
/// The level and a `logger:` are always evaluated, the fields only if the event passes the filter.
///
/// ```no_run
/// use logweir::{Level, Logger, log};
///
/// fn answered(logger: &Logger, status: u16) {
///     let level = if status < 500 { Level::Info } else { Level::Error };
///     log!(level, logger: logger, "answered {status}", status);
/// }
/// ```
#[macro_export]
macro_rules! log {
    ($($call:tt)*) => { $crate::__logweir!({emit [] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Trace`](crate::Level::Trace). Otherwise like [`info!`](crate::info).
#[macro_export]
macro_rules! trace {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Trace] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Debug`](crate::Level::Debug). Otherwise like [`info!`](crate::info).
#[macro_export]
macro_rules! debug {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Debug] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Info`](crate::Level::Info), to the global logger or the one after `logger:`.
///
/// Does nothing without a global logger and without `logger:`. The fields are evaluated only if the event passes
/// the logger's filter. `logger:` takes a [`Logger`](crate::Logger) or anything that dereferences to one, and does not
/// move it. Templates, fields and `target:` are described at [`new_event!`](macro@crate::new_event).
///
/// ```no_run
/// use logweir::{Logger, err, error, info};
///
/// fn log_in(user: &str, started: std::time::Instant, audit: &Logger) {
///     info!("user {user} logged in", user, took = ?started.elapsed());
///     info!(logger: audit, target: "audit", "user {user} logged in", user);
/// }
///
/// if let Err(error) = std::fs::read("state") {
///     error!("no state", error = err(&error));
/// }
/// ```
///
/// # Sampling
/// Of the calls that pass the filter, `every: n` lets the first pass, and then every `n`th. `at_most: n, per: time`
/// lets the first `n` pass until that time has passed since the first of them, and then again. Both count this call
/// alone, for all threads and loggers together. Numbers and time are constants above zero, checked when the call
/// compiles. The fields of a skipped call are not evaluated.
///
/// ```no_run
/// use std::time::Duration;
/// use logweir::{info, warn};
///
/// # let (size, peer) = (1, "");
/// info!(every: 1000, "packet of {size} bytes", size);
/// warn!(at_most: 5, per: Duration::from_secs(60), "no answer from {peer}", peer);
/// ```
///
/// Skipped calls are counted ([`Stats::sampled`](crate::Stats::sampled), `logweir_events_sampled_total`). They are no
/// loss: they were never emitted. The next event that passes has a field `sampled_out` with the number of calls skipped
/// since the one before it. `at_most` takes a lock of its own, for a few instructions.
#[macro_export]
macro_rules! info {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Info] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Warn`](crate::Level::Warn). Otherwise like [`info!`](crate::info).
#[macro_export]
macro_rules! warn {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Warn] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Error`](crate::Level::Error). Otherwise like [`info!`](crate::info).
#[macro_export]
macro_rules! error {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Error] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Fatal`](crate::Level::Fatal). Otherwise like [`info!`](crate::info): the process
/// continues.
#[macro_export]
macro_rules! fatal {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Fatal] [] [] []} $($call)*) };
}

/// Named values, in the grammar of a log call's [fields](macro@crate::new_event#fields), for a
/// [`scope`](crate::scope()) or [`Logger::with_fields`](crate::Logger::with_fields): a
/// [`FieldSet`](crate::event::FieldSet).
///
/// ```
/// use logweir::{Value, fields};
///
/// let (user, addr) = ("ada", std::net::Ipv4Addr::LOCALHOST);
/// let set = fields![user, attempt = 2, %addr, http.route = "/pay"];
/// assert_eq!(set.fields().nth(1), Some(("attempt", Value::I64(2))));
/// assert_eq!(set.fields().count(), 4);
/// ```
#[macro_export]
macro_rules! fields {
    ($($fields:tt)*) => { $crate::__logweir!(@field {fields} [] [] $($fields)* ,) };
}
