//! The caller's thread, once: keeps loggers that share a recorder apart by their names.
//!
//! Two loggers of one name on one recorder would write the same series. The address of a recorder is its identity.

use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::Recorder;

// A std lock: held to compare a few names.
static CLAIMED: Mutex<Vec<NameClaim>> = Mutex::new(Vec::new());

/// The name of a running logger on one recorder.
#[derive(Clone, PartialEq)]
struct NameClaim {
    recorder: usize,
    name: String,
    started_at: &'static Location<'static>,
}

/// Frees a logger's name on its recorder when it is dropped.
pub(crate) struct NameGuard(Option<NameClaim>);

impl Drop for NameGuard {
    fn drop(&mut self) {
        if let Some(claim) = &self.0 {
            claimed().retain(|other| other != claim);
        }
    }
}

fn claimed() -> MutexGuard<'static, Vec<NameClaim>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Claims the given name, or else one that no running logger on this recorder has.
///
/// # Errors
/// Returns where the running logger of the given name on this recorder was started.
pub(crate) fn claim(
    given: Option<String>,
    recorder: &dyn Recorder,
    started_at: &'static Location<'static>,
) -> Result<(String, NameGuard), &'static Location<'static>> {
    // A recorder without a size has no address of its own: others of that kind may share it. `metrics` has one for
    // programs without a recorder.
    if size_of_val(recorder) == 0 {
        return Ok((given.unwrap_or_else(next_name), NameGuard(None)));
    }
    let recorder = std::ptr::from_ref(recorder).addr();
    let mut claimed = claimed();
    let holder = |name: &str| claimed.iter().find(|claim| claim.recorder == recorder && claim.name == name);
    let name = match given {
        Some(name) => match holder(&name) {
            Some(other) => return Err(other.started_at),
            None => name,
        },
        None => loop {
            let name = next_name();
            if holder(&name).is_none() {
                break name;
            }
        },
    };
    let claim = NameClaim { recorder, name: name.clone(), started_at };
    claimed.push(claim.clone());
    Ok((name, NameGuard(Some(claim))))
}

/// Returns the given name, or else the next one of unnamed loggers, for a recorder that no other logger has.
pub(crate) fn unshared(given: Option<String>) -> (String, NameGuard) {
    (given.unwrap_or_else(next_name), NameGuard(None))
}

fn next_name() -> String {
    static UNNAMED: AtomicUsize = AtomicUsize::new(1);
    match UNNAMED.fetch_add(1, Ordering::Relaxed) {
        1 => "logweir".to_owned(),
        number => format!("logweir-{number}"),
    }
}
