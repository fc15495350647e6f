//! The same events in every format.
//!
//! cargo run --features pretty --example formats
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::io;

use logweir::event::Record;
use logweir::format::{Clef, DottedKeys, Json, Key, Logfmt, Text};
use logweir::{Event, Format, Level, err, new_event};

fn main() {
    show("Text", Text::new());
    #[cfg(feature = "pretty")]
    show("Pretty", logweir::format::Pretty::new().width(80));
    show("Json", Json::new());
    show(
        "Json, as an index of Elasticsearch has it",
        Json::new().key(Key::Timestamp, "@timestamp").key(Key::Level, "log.level").dotted(DottedKeys::Nested),
    );
    show("Clef", Clef::new());
    show("Logfmt", Logfmt::new());
}

fn events() -> [Event; 2] {
    let error = io::Error::other(Refused(io::Error::from(io::ErrorKind::ConnectionReset)));
    [
        new_event!(Level::Info, target: "shop", "user {user} paid {amount:.2}", user = "ada", amount = 9.5, http.status = 200),
        new_event!(Level::Error, target: "shop", "order not stored", sql = "INSERT\nINTO orders", error = err(&error)),
    ]
}

fn show(name: &str, mut format: impl Format) {
    let mut out = Vec::new();
    for event in &events() {
        format.format(&Record::from(event), &mut out);
    }
    println!("{name}\n{}", String::from_utf8_lossy(&out));
}

#[derive(Debug)]
struct Refused(io::Error);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the database refused the connection")
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
