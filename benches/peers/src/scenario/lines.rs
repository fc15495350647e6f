//! Counts what arrived.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::peers::{Error, Peer, Role};

/// How long nothing may grow until it is taken as all there will be.
const QUIET: Duration = Duration::from_millis(500);

/// Shuts the peer down and counts the lines in its files: those that were there when the shutdown returned, and those
/// that came after. Returns when the last was there, too.
pub fn finish<P: Peer>(peer: P, folder: &Path, calls: u64) -> Result<(Outcome, Instant), Error> {
    peer.shutdown()?;
    let mut complete = Instant::now();
    if P::ABOUT.role == Role::Control {
        // It has nothing to lose.
        return Ok((Outcome { calls, lines: calls, peak_kib: Some(peak_kib()?), ..Outcome::default() }, complete));
    }
    let at_return = sizes(folder)?;
    // Before the lines are counted, which takes memory itself.
    let peak_kib = Some(peak_kib()?);
    let mut outcome = Outcome { calls, lines: count(&at_return)?, peak_kib, ..Outcome::default() };
    if outcome.lines < calls {
        let (sizes, grown) = until_quiet(folder, at_return)?;
        outcome.late = count(&sizes)? - outcome.lines;
        complete = grown.unwrap_or(complete);
    }
    Ok((outcome, complete))
}

type Sizes = BTreeMap<PathBuf, u64>;

fn until_quiet(folder: &Path, mut last: Sizes) -> io::Result<(Sizes, Option<Instant>)> {
    let mut grown = None;
    let mut looked = Instant::now();
    while looked.elapsed() < QUIET {
        thread::sleep(Duration::from_millis(1));
        let now = sizes(folder)?;
        if now != last {
            looked = Instant::now();
            grown = Some(looked);
            last = now;
        }
    }
    Ok((last, grown))
}

/// Of all files: some peers make several, or choose the name.
fn sizes(folder: &Path) -> io::Result<Sizes> {
    let files = fs::read_dir(folder)?.map(|entry| {
        let entry = entry?;
        Ok((entry.path(), entry.metadata()?.len()))
    });
    files.collect()
}

fn count(sizes: &Sizes) -> io::Result<u64> {
    let mut chunk = vec![0; 1 << 20];
    let mut lines = 0;
    for (path, size) in sizes {
        let mut file = File::open(path)?.take(*size);
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                length => lines += newlines(&chunk[..length]),
            }
        }
    }
    Ok(lines)
}

pub fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The most memory that this process ever had.
fn peak_kib() -> Result<u64, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("/proc/self/status has no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
