//! Sinks, driven by hand: what they write, what they say when they cannot, what they never wait for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod blocking;
mod console;
#[cfg(target_os = "linux")]
mod fifo;
mod files;
mod memory;
#[cfg(unix)]
mod paths;

use std::error::Error;
use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Waker};

use logweir::event::Record;
use logweir::{Batch, Event, Format, Level, SinkError};

/// The message and a newline; panics on "poison".
struct Plain;

impl Format for Plain {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let message = record.message().to_string();
        assert_ne!(message, "poison");
        out.extend_from_slice(message.as_bytes());
        out.push(b'\n');
    }
}

fn batch<const N: usize>(messages: [&str; N]) -> Batch {
    messages.into_iter().map(|message| Event::new(Level::Info, "t", message)).collect()
}

/// An empty folder of the test's own.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sinks").join(test);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
        _ => fs::create_dir_all(&folder).unwrap(),
    }
    folder
}

fn io_kind(error: &SinkError) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}

/// Polls once, finds it pending, and drops it.
fn drop_unanswered(call: impl Future<Output = Result<(), SinkError>>) {
    let mut call = pin!(call);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}
