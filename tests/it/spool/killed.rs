//! A process that is killed at any moment: what a flush has covered arrives, in order, each event with one id.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use logweir::{Batch, Sink, SinkError, Spool, async_trait};

use super::{Folder, end, spooled, start};
use crate::children::{FILE, ROLE, Running, child_of};
use crate::support::{PATIENCE, count, emit_numbers};

/// Each life has so many numbers of its own.
const NUMBERS: u64 = 1_000_000;
const KILLS: u32 = 50;

/// Appends a line for each event, with its id; every so often it is unavailable.
struct Lines {
    file: PathBuf,
    writes: u64,
    fails_every: u64,
}

#[async_trait]
impl Sink for Lines {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.writes += 1;
        if self.writes.is_multiple_of(self.fails_every) {
            return Err(SinkError::temporary("unavailable"));
        }
        let lines: String = batch.iter().map(|record| format!("{} {}\n", record.id(), record.message())).collect();
        let file = OpenOptions::new().append(true).create(true).open(&self.file);
        file.and_then(|mut file| file.write_all(lines.as_bytes())).map_err(SinkError::temporary)
    }
}

/// Logs until it is killed; says which numbers a flush has covered.
#[tokio::test]
async fn the_child() {
    let (Ok(life), Some(dir)) = (std::env::var(ROLE), std::env::var_os(FILE)) else { return };
    let (dir, life): (PathBuf, u64) = (dir.into(), life.parse().unwrap());
    let sink = Lines { file: dir.join("lines"), writes: life, fails_every: 2 + life % 3 };
    let logger = start(spooled(sink, Spool::new(dir.join("spool"))));
    let mut next = life * NUMBERS;
    loop {
        emit_numbers(&logger, next..next + 20);
        next += 20;
        if logger.flush(PATIENCE).await.complete {
            let mut out = std::io::stdout();
            writeln!(out, "covered {next}").and_then(|()| out.flush()).unwrap();
        }
    }
}

#[tokio::test]
async fn whatever_moment_a_process_is_killed_at_what_a_flush_has_covered_arrives() {
    let folder = Folder::new("killed");
    fs::create_dir_all(folder.path()).unwrap();
    let kills = count("LOGWEIR_TEST_KILLS", KILLS);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut covered: BTreeMap<u64, u64> = BTreeMap::new();
    for life in 1..=u64::from(kills) {
        let mut child = child_of("spool::killed::the_child", &life.to_string());
        let mut child = Running(child.env(FILE, folder.path()).spawn().unwrap());
        let out = BufReader::new(child.0.stdout.take().unwrap());
        let mut lines =
            out.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("covered ")?.parse().ok());
        // It has begun; then at any moment.
        covered.extend(lines.next().map(|to: u64| (life, to)));
        tokio::time::sleep(Duration::from_micros(rng.u64(0..40_000))).await;
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        covered.extend(lines.map(|to| (life, to)));
    }
    assert_eq!(covered.len() as u32, kills, "each of them has logged");
    let sink = Lines { file: folder.path().join("lines"), writes: 0, fails_every: u64::MAX };
    let logger = start(spooled(sink, Spool::new(folder.path().join("spool"))));
    let last = end(&logger).await;
    assert_eq!((last.spooled, last.dropped.total(), last.unconfirmed), (0, 0, 0), "{last}");
    check(&folder.path().join("lines"), &covered);
}

fn check(lines: &Path, covered: &BTreeMap<u64, u64>) {
    let text = fs::read_to_string(lines).unwrap();
    let (mut ids, mut first): (HashMap<u64, &str>, Vec<u64>) = (HashMap::new(), Vec::new());
    for line in text.lines() {
        let (id, number) = line.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        match ids.insert(number, id) {
            None => first.push(number),
            Some(before) => assert_eq!(before, id, "{number} has two ids"),
        }
    }
    assert!(first.is_sorted(), "delivered first in another order");
    for (life, to) in covered {
        let missing = (life * NUMBERS..*to).find(|number| !ids.contains_key(number));
        assert_eq!(missing, None, "of the life {life}, of which {to} are covered");
    }
}
