//! The caller's thread: what a log call becomes.
//!
//! Invariants:
//! * Items that a `macro_rules` defines are visible to the caller's expressions, so every one is named `__LOGWEIR_*`; a
//!   pattern that names a local can be taken for the caller's constant, so every local is named `__logweir_*`.
//! * Nothing is named by a bare path: a caller may have a type `Option`, a module `core` or a macro `concat` of his own.
//! * One step of the muncher per field; the sigil chooses a function of this file.

use std::fmt::{Debug, Display};

use crate::event::{Event, TextKind, ToValue};

/// `k = v`
#[inline(always)]
pub fn value<T: ToValue + ?Sized>(event: &mut Event, value: &T) {
    event.push(value.to_value());
}

/// `k = %v`
#[inline]
pub fn display<T: Display + ?Sized>(event: &mut Event, value: &T) {
    event.push_format(TextKind::Str, |out| write!(out, "{value}"));
}

/// `k = ?v`
#[inline]
pub fn debug<T: Debug + ?Sized>(event: &mut Event, value: &T) {
    event.push_format(TextKind::Debug, |out| write!(out, "{value:?}"));
}

#[cfg(feature = "serde")]
pub use json::json;

#[cfg(feature = "serde")]
mod json {
    use std::fmt::{self, Write};
    use std::io;

    use crate::event::{Event, TextKind};

    /// `k = @v`
    pub fn json<T: serde::Serialize + ?Sized>(event: &mut Event, value: &T) {
        event.push_format(TextKind::Json, |out| serde_json::to_writer(OneLine(out), value).map_err(|_| fmt::Error));
    }

    /// Keeps the document on one line: outside strings a line break is only space, inside them it is escaped.
    struct OneLine<'a>(&'a mut dyn Write);

    impl io::Write for OneLine<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // serde_json writes whole `str`s.
            let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
            for (position, line) in text.split(['\n', '\r']).enumerate() {
                if position > 0 {
                    self.0.write_char(' ').map_err(io::Error::other)?;
                }
                self.0.write_str(line).map_err(io::Error::other)?;
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[cfg(test)]
    #[test]
    fn line_breaks_between_tokens_become_space() {
        let mut out = String::new();
        io::Write::write_all(&mut OneLine(&mut out), b"{\n\"a\":\r\n1}").expect("a string takes everything");
        assert_eq!(out, "{ \"a\":  1}");
    }
}

/// What `k = @v` asks of `v` where nothing can give it.
#[cfg(not(feature = "serde"))]
#[diagnostic::on_unimplemented(
    message = "a field `key = @value` needs the feature `serde` of `logweir`",
    label = "not without the feature `serde`",
    note = "in Cargo.toml: `logweir = {{ version = \"..\", features = [\"serde\"] }}`"
)]
pub trait FeatureSerde {}

/// `k = @v`, which does not compile without the feature.
#[cfg(not(feature = "serde"))]
pub fn json<T: FeatureSerde + ?Sized>(_: &mut Event, _: &T) {}

/// Makes an [`Event`](crate::Event) without emitting it: the level, the template, the fields.
///
/// ```
/// use logweir::{Level, Value, event};
///
/// let user = "ada";
/// let event = event!(Level::Info, "{user} paid {amount:.2}", user, amount = 12.5, http.status = 200);
/// assert_eq!(event.message().to_string(), "ada paid 12.50");
/// assert_eq!(event.fields().count(), 3);
/// assert_eq!(event.fields().last(), Some(("http.status", Value::I64(200))));
/// ```
///
/// The level may be any expression, a constant or not. The other macros of this crate take the same template and fields;
/// see [`info!`](crate::info) for what they do beyond it.
///
/// # Prefixes
/// Before the template, in any order:
///
/// * `target: "payments",` what filters go by: a constant, by default the path of the module.
/// * `logger: expr,` where the event goes; not for `event!`, which emits nothing.
/// * `every: n,` or `at_most: n, per: time,` thin out what is logged here; not for `event!`. See
///   [`info!`](crate::info#sampling).
///
/// # Templates
/// A constant `&str` in the [message templates](https://messagetemplates.org) syntax, checked when the call compiles:
///
/// * `{name}` is filled with the field of that name, given after the template. A hole without its field does not compile.
/// * `{{` and `}}` are braces.
/// * `{name,10}` fills up with spaces on the left to at least 10 characters, `{name,-10}` on the right; at most 256.
/// * `{name:.2}` writes a float with so many digits after the point (at most 32), `{name:x}` and `{name:X}` an integer in
///   hexadecimal (a negative one as 64 or 128 bits), `{name:X}` bytes in upper case, `{name:e}` a number with an exponent.
///   A value the format does not suit is written plain. `{name,10:.2}` has both.
///
/// ```
/// # use logweir::{Level, event};
/// let event = event!(Level::Info, "[{name,-6}|{n,6:x}] {{{ratio:.1}}}", name = "weir", n = 255, ratio = 0.25);
/// assert_eq!(event.message().to_string(), "[weir  |    ff] {0.2}");
/// ```
///
/// # Fields
/// Separated by commas, at the end one more if you like. A field need not be in the template; two of one name do not
/// compile. Values are evaluated once, in the order they stand in.
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
/// # use logweir::{Level, Value, event};
/// struct Request { path: String, r#type: u8 }
///
/// let request = Request { path: "/".into(), r#type: 7 };
/// let addr = std::net::Ipv4Addr::LOCALHOST;
/// let event = event!(Level::Debug, "served", request.path, request.r#type, %addr, "x-y" = ?Some(1), none = None::<u8>);
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
/// A `Display` or `Debug` that fails leaves what it wrote and a mark. One that panics panics here.
#[macro_export]
macro_rules! event {
    ($($call:tt)*) => { $crate::__logweir!({event [] [] [] []} $($call)*) };
}

/// Emits an event whose level is known only when it happens: `log!(level, "..")`. Otherwise as [`info!`](crate::info).
///
/// The level and a `logger:` are evaluated always, the fields only when the event passes the filter.
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

/// Emits an event of [`Level::Trace`](crate::Level::Trace). As [`info!`](crate::info) otherwise.
#[macro_export]
macro_rules! trace {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Trace] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Debug`](crate::Level::Debug). As [`info!`](crate::info) otherwise.
#[macro_export]
macro_rules! debug {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Debug] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Info`](crate::Level::Info), to the global logger or the one after `logger:`.
///
/// Without a global logger, and without `logger:`, it does nothing. The fields are evaluated only when the event passes
/// the logger's filter. `logger:` takes a [`Logger`](crate::Logger) or anything that dereferences to one, and does not
/// move it. Templates, fields and `target:` are described at [`event!`](macro@crate::event).
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
/// Of the calls that pass the filter, `every: n` lets the first and then every `n`th pass; `at_most: n, per: time` the
/// first `n` from the first on until that time is over, and then again. Both are of this call alone, for all threads and
/// loggers together; numbers and time are constants, more than zero, which is checked when the call compiles. The fields
/// of what is left out are not evaluated.
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
/// What is left out is counted ([`Stats::sampled`](crate::Stats::sampled), `logweir_events_sampled_total`) and is no loss:
/// it was never emitted. The next event that passes says in a field `sampled_out` how many there were since the one before
/// it. `at_most` takes a lock of its own, for a few instructions.
#[macro_export]
macro_rules! info {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Info] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Warn`](crate::Level::Warn). As [`info!`](crate::info) otherwise.
#[macro_export]
macro_rules! warn {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Warn] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Error`](crate::Level::Error). As [`info!`](crate::info) otherwise.
#[macro_export]
macro_rules! error {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Error] [] [] []} $($call)*) };
}

/// Emits an event of [`Level::Fatal`](crate::Level::Fatal). As [`info!`](crate::info) otherwise: the process goes on.
#[macro_export]
macro_rules! fatal {
    ($($call:tt)*) => { $crate::__logweir!({emit [$crate::Level::Fatal] [] [] []} $($call)*) };
}

/// Named values, in the grammar of a log call's [fields](macro@crate::event#fields), for a [`scope`](crate::scope()) or
/// [`Logger::with_fields`](crate::Logger::with_fields): a [`FieldSet`](crate::event::FieldSet).
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

/// The muncher. Its state is `{what [level] [logger] [target] [sampling]}`, with the fields also `[template] [names]
/// [values]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __logweir {
    // Prefixes.
    ({event $level:tt $logger:tt $target:tt $sample:tt} logger: $($rest:tt)*) => {
        ::core::compile_error!("`event!` emits nothing, so it takes no `logger:`")
    };
    ({event $level:tt $logger:tt $target:tt $sample:tt} every: $($rest:tt)*) => {
        ::core::compile_error!("`event!` emits nothing, so it takes no `every:`")
    };
    ({event $level:tt $logger:tt $target:tt $sample:tt} at_most: $($rest:tt)*) => {
        ::core::compile_error!("`event!` emits nothing, so it takes no `at_most:`")
    };
    ({$what:ident $level:tt [] $target:tt $sample:tt} logger: $logger:expr, $($rest:tt)*) => {
        $crate::__logweir!({$what $level [$logger] $target $sample} $($rest)*)
    };
    ({$what:ident $level:tt $logger:tt [] $sample:tt} target: $target:expr, $($rest:tt)*) => {
        $crate::__logweir!({$what $level $logger [$target] $sample} $($rest)*)
    };
    ({$what:ident $level:tt $logger:tt $target:tt []} every: $nth:expr, $($rest:tt)*) => {
        $crate::__logweir!({$what $level $logger $target [every $nth]} $($rest)*)
    };
    ({$what:ident $level:tt $logger:tt $target:tt []} at_most: $most:expr, per: $time:expr, $($rest:tt)*) => {
        $crate::__logweir!({$what $level $logger $target [at_most $most, $time]} $($rest)*)
    };
    ({$what:ident $level:tt $logger:tt $target:tt []} at_most: $most:expr, $next:ident $($rest:tt)*) => {
        ::core::compile_error!("behind `at_most: n,` stands `per: time,`: `at_most: 5, per: Duration::from_secs(1),`")
    };
    ({$what:ident $level:tt $logger:tt $target:tt []} at_most: $most:expr, $next:literal $($rest:tt)*) => {
        ::core::compile_error!("behind `at_most: n,` stands `per: time,`: `at_most: 5, per: Duration::from_secs(1),`")
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} logger: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!(@prefix $($($rest)*)?)
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} target: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!(@prefix $($($rest)*)?)
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} every: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!(@sampling $($($rest)*)?)
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} at_most: $value:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!(@sampling $($($rest)*)?)
    };
    ({$what:ident $level:tt $logger:tt $target:tt $sample:tt} $prefix:ident : $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "unknown prefix `", ::core::stringify!($prefix), ":`: before the template stand `logger:`, `target:`, ",
            "`every:`, and `at_most:` with `per:`"
        ))
    };
    (@prefix) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    (@prefix $($rest:tt)+) => {
        ::core::compile_error!("a prefix (`logger:`, `target:`) stands twice")
    };
    (@sampling) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    (@sampling $($rest:tt)+) => {
        ::core::compile_error!("one of `every:` and `at_most:` stands before the template, once")
    };

    // What should be the level or the template is none.
    ({$($state:tt)*}) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    ({$($state:tt)*} $first:ident $(. $part:tt)* = $($rest:tt)*) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    ({$($state:tt)*} % $($rest:tt)*) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    ({$($state:tt)*} ? $($rest:tt)*) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };
    ({$($state:tt)*} @ $($rest:tt)*) => {
        ::core::compile_error!("the message template is missing: a string, before any fields")
    };

    // The level where the macro's name does not say it, then the template.
    ({$what:ident [] $logger:tt $target:tt $sample:tt} $level:expr $(, $($rest:tt)*)?) => {
        $crate::__logweir!({$what [$level] $logger $target $sample} $($($rest)*)?)
    };
    ({$($state:tt)*} $template:expr $(, $($fields:tt)*)?) => {
        $crate::__logweir!(@field {$($state)* [$template]} [] [] $($($fields)*)? ,)
    };

    // Fields. The names first gather as they are spelled, `__logweir_name!` turns each into a string.
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $(,)?) => {
        $crate::__logweir!(@$($state)* [$($names)*] [$($values)*])
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $name:literal = % $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($name)] [$($values)* (display $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $name:literal = ? $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($name)] [$($values)* (debug $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $name:literal = @ $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($name)] [$($values)* (json $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $name:literal = $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($name)] [$($values)* (value $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)* = % $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (display $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)* = ? $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (debug $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)* = @ $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (json $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)* = $value:expr, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (value $value)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] % $a:ident $(. $b:tt)*, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (display $a $(. $b)*)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] ? $a:ident $(. $b:tt)*, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (debug $a $(. $b)*)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] @ $a:ident $(. $b:tt)*, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (json $a $(. $b)*)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $a:ident $(. $b:tt)*, $($rest:tt)*) => {
        $crate::__logweir!(@field {$($state)*} [$($names)* ($a $(. $b)*)] [$($values)* (value $a $(. $b)*)] $($rest)*)
    };
    (@field {$($state:tt)*} [$($names:tt)*] [$($values:tt)*] $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "not a field: `", ::core::stringify!($($rest)*), "`; a field is `name`, `name = value`, `name = %value`, ",
            "`name = ?value` or `name = @value`, and a comma stands between two"
        ))
    };

    // What it all becomes.
    (@event [$level:expr] [] $target:tt [] $template:tt $names:tt [$(($how:ident $($value:tt)+))*]) => {{
        $crate::__logweir!(@site $target $template $names);
        let mut __logweir_event = $crate::Event::__new(&__LOGWEIR_SITE, $level);
        let __logweir_to = &mut __logweir_event;
        $($crate::__private::$how(__logweir_to, &$($value)+);)*
        __logweir_event
    }};
    (@emit $level:tt [] $target:tt $sample:tt $template:tt $names:tt $values:tt) => {{
        $crate::__logweir!(@site $target $template $names);
        if let ::core::option::Option::Some(__logweir_logger) = $crate::__private::global() {
            $crate::__logweir!(@send __logweir_logger $level $sample $values);
        }
    }};
    (@emit $level:tt [$logger:expr] $target:tt $sample:tt $template:tt $names:tt $values:tt) => {{
        $crate::__logweir!(@site $target $template $names);
        // A `match` keeps what the expression borrows from; the coercion says "expected `&Logger`" if it is none.
        match &$logger {
            __logweir_logger => {
                let __logweir_logger: &$crate::Logger = __logweir_logger;
                $crate::__logweir!(@send __logweir_logger $level $sample $values);
            }
        };
    }};
    (@send $logger:ident [$level:expr] [] [$(($how:ident $($value:tt)+))*]) => {
        let __logweir_level: $crate::Level = $level;
        if $logger.__enabled(&__LOGWEIR_SITE, __logweir_level) {
            let mut __logweir_event = $crate::Event::__new(&__LOGWEIR_SITE, __logweir_level);
            let __logweir_to = &mut __logweir_event;
            $($crate::__private::$how(__logweir_to, &$($value)+);)*
            $logger.__emit(__logweir_event);
        }
    };
    (@send $logger:ident [$level:expr] [$rule:ident $($rate:expr),+] [$(($how:ident $($value:tt)+))*]) => {
        static __LOGWEIR_SAMPLER: $crate::__private::Sampler = $crate::__private::Sampler::$rule($($rate),+);
        let __logweir_level: $crate::Level = $level;
        if $logger.__enabled(&__LOGWEIR_SITE, __logweir_level) {
            if let ::core::option::Option::Some(__logweir_left_out) = $logger.__sampled(&__LOGWEIR_SAMPLER) {
                let mut __logweir_event = $crate::Event::__new(&__LOGWEIR_SITE, __logweir_level);
                let __logweir_to = &mut __logweir_event;
                $($crate::__private::$how(__logweir_to, &$($value)+);)*
                __logweir_event.__left_out(__logweir_left_out);
                $logger.__emit(__logweir_event);
            }
        }
    };
    (@fields $names:tt [$(($how:ident $($value:tt)+))*]) => {{
        $crate::__logweir!(@site [] [""] $names);
        let mut __logweir_event = $crate::Event::__new(&__LOGWEIR_SITE, $crate::Level::Info);
        let __logweir_to = &mut __logweir_event;
        $($crate::__private::$how(__logweir_to, &$($value)+);)*
        $crate::event::FieldSet::__of(__logweir_event)
    }};
    (@site [] $template:tt $names:tt) => {
        $crate::__logweir!(@site [::core::module_path!()] $template $names);
    };
    (@site [$target:expr] [$template:expr] [$($name:tt)*]) => {
        const __LOGWEIR_TEMPLATE: &::core::primitive::str = $template;
        const __LOGWEIR_NAMES: &[&::core::primitive::str] = &[$($crate::__logweir_name!($name)),*];
        // A static, not a constant: where its evaluation fails the compiler says so once.
        static __LOGWEIR_PIECES: [$crate::__private::Piece; $crate::__private::count(__LOGWEIR_TEMPLATE)] =
            $crate::__private::parse(__LOGWEIR_TEMPLATE, __LOGWEIR_NAMES);
        static __LOGWEIR_SITE: $crate::__private::Callsite = $crate::__private::Callsite::new(
            $target,
            ::core::module_path!(),
            ::core::file!(),
            ::core::line!(),
            $crate::__private::Template::new(__LOGWEIR_TEMPLATE, &__LOGWEIR_PIECES),
            __LOGWEIR_NAMES,
        );
    };
}

/// A field's name as a string.
#[doc(hidden)]
#[macro_export]
macro_rules! __logweir_name {
    (($name:literal)) => { $name };
    (($name:ident)) => { $crate::__private::field_name(::core::stringify!($name)) };
    (($name:ident $(. $part:tt)+)) => {{
        const __LOGWEIR_DOTTED: &::core::primitive::str =
            ::core::concat!(::core::stringify!($name) $(, ".", ::core::stringify!($part))+);
        const __LOGWEIR_BYTES: &[::core::primitive::u8] =
            &$crate::__private::dotted::<{ $crate::__private::dotted_len(__LOGWEIR_DOTTED) }>(__LOGWEIR_DOTTED);
        $crate::__private::text(__LOGWEIR_BYTES)
    }};
}
