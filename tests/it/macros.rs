//! What a log call becomes: values keep their types, templates fill, nothing of the caller's is captured.

mod formatting;
mod hygiene;
mod names;
mod places;
mod templates;
mod values;

use logweir::Event;

/// Names and values with the exact kind of each.
fn shown(event: &Event) -> String {
    format!("{:?}", event.fields())
}

fn message(event: &Event) -> String {
    event.message().to_string()
}
