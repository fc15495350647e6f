//! A test's thread: random programs over a file system that fails, and what the next process finds.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue panics")]

mod killed;
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use proptest::prelude::*;

use super::disk::{Disk, Refused, SpoolLimits};
use super::positions::Positions;
use super::{DiskStore, Spool, SpoolStore};
use crate::fs::FsKind;
use model::{Fault, ModelFs};

const LIMITS: SpoolLimits = SpoolLimits { max_bytes: 16 << 10, segment_bytes: 4 << 10 };

#[derive(Clone, Debug)]
enum Op {
    /// So many records, each of so many events.
    Append {
        records: usize,
        events: u32,
        bytes: usize,
    },
    Sync,
    /// So many of the oldest unsettled events are settled, or as many behind some others.
    Settle {
        events: u64,
        behind: u64,
    },
    Read,
    /// The process ends, in order or not; the next one begins.
    Restart(End),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Orderly,
    Kill,
    PowerFailure(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..4_usize, 1..9_u32, 0..900_usize).prop_map(|(records, events, bytes)| Op::Append { records, events, bytes }),
        3 => Just(Op::Sync),
        4 => (1..20_u64, 0..12_u64).prop_map(|(events, behind)| Op::Settle { events, behind: behind.saturating_sub(8) }),
        3 => Just(Op::Read),
        1 => prop_oneof![Just(End::Orderly), Just(End::Kill), any::<u64>().prop_map(End::PowerFailure)].prop_map(Op::Restart),
    ]
}

fn fault() -> impl Strategy<Value = (u64, Fault)> {
    let kind = prop_oneof![Just(io::ErrorKind::Other), Just(io::ErrorKind::StorageFull)];
    let fault = prop_oneof![
        2 => kind.clone().prop_map(Fault::Fails),
        2 => kind.prop_map(Fault::Half),
        1 => Just(Fault::Kill),
    ];
    (0..150_u64, fault)
}

/// What the records of all processes were, and what is known of them.
#[derive(Default)]
struct Oracle {
    payloads: BTreeMap<u64, Vec<u8>>,
    next_record: u64,
    /// Events, as record and index, that must be found again.
    confirmed: BTreeSet<(u64, u64)>,
    /// Those that are settled, and those of them that must not be found again.
    settled: BTreeSet<(u64, u64)>,
    settled_for_good: BTreeSet<(u64, u64)>,
    /// Records that were refused while the process lived: they must not be found.
    refused: BTreeSet<u64>,
}

struct Life {
    disk: Disk<ModelFs>,
    positions: Positions,
    /// The event at each position.
    events: BTreeMap<u64, (u64, u64)>,
}

fn dir() -> Vec<PathBuf> {
    vec![PathBuf::from("/spool/sink")]
}

/// Begins a life, and reads all that is there.
fn begin(fs: &ModelFs, oracle: &mut Oracle) -> Result<Life, String> {
    let disk = Disk::open(fs.clone(), &dir(), LIMITS).map_err(|error| format!("cannot open: {error}"))?;
    let positions = Positions::new(disk.progress(), disk.next());
    let mut life = Life { disk, positions, events: BTreeMap::new() };
    let (mut at, mut last) = (0, None);
    while at < life.positions.next() {
        let range = at..life.positions.next();
        let read = life.disk.read(range.clone()).map_err(|error| format!("cannot read {range:?}: {error}"))?;
        let Some((there, payload)) = read else { break };
        let first = there.start;
        let record = u64::from_le_bytes(payload[..8].try_into().unwrap());
        if oracle.payloads.get(&record) != Some(&payload) {
            return Err(format!("record {record} was never written like this"));
        }
        if oracle.refused.contains(&record) {
            return Err(format!("record {record} was refused, and is there"));
        }
        if last >= Some(record) {
            return Err(format!("record {record} comes after {last:?}"));
        }
        last = Some(record);
        let events = u64::from(payload[8]);
        for index in 0..events {
            life.events.insert(first + index, (record, index));
        }
        at = first + events;
    }
    let unsettled: BTreeSet<(u64, u64)> = life
        .positions
        .unsettled(0..life.positions.next())
        .into_iter()
        .flatten()
        .filter_map(|at| life.events.get(&at))
        .copied()
        .collect();
    let missing = oracle.confirmed.iter().find(|event| !unsettled.contains(event) && !oracle.settled.contains(event));
    if let Some(event) = missing {
        return Err(format!("{event:?} was confirmed, and is not there"));
    }
    if let Some(event) = unsettled.iter().find(|event| oracle.settled_for_good.contains(event)) {
        return Err(format!("{event:?} was settled before a synchronization, and is there again"));
    }
    oracle.settled.retain(|event| !unsettled.contains(event));
    oracle.confirmed.retain(|event| unsettled.contains(event));
    Ok(life)
}

fn payload(record: u64, events: u32, bytes: usize) -> Vec<u8> {
    let mut payload = record.to_le_bytes().to_vec();
    payload.push(events as u8);
    payload.extend((0..bytes).map(|at| (at as u64 ^ record) as u8));
    payload
}

impl Life {
    fn append(
        &mut self,
        fs: &ModelFs,
        (records, events, bytes): (usize, u32, usize),
        oracle: &mut Oracle,
    ) -> Result<(), String> {
        let numbers: Vec<u64> = (oracle.next_record..).take(records).collect();
        oracle.next_record += records as u64;
        let payloads: Vec<(u32, Vec<u8>)> = numbers.iter().map(|n| (events, payload(*n, events, bytes))).collect();
        let of = |number: &u64| (0..u64::from(events)).map(|index| (*number, index)).collect::<Vec<_>>();
        oracle.payloads.extend(numbers.iter().copied().zip(payloads.iter().map(|(_, payload)| payload.clone())));
        let appended = self.disk.append(payloads);
        if appended.is_err() && !fs.is_dead() {
            oracle.refused.extend(&numbers);
        }
        match appended {
            Ok(()) => {
                for event in numbers.iter().flat_map(of) {
                    let at = self.positions.append(1);
                    self.events.insert(at, event);
                }
            }
            Err(Refused::Full(parts, _)) => {
                // As a pipeline does that drops the oldest.
                let Some(part) = parts.into_iter().find(|part| !self.positions.unsettled(part.clone()).is_empty())
                else {
                    return Ok(());
                };
                self.settle(part, oracle);
            }
            Err(Refused::Failed(_)) => {}
        }
        if self.disk.next() == self.positions.next() { Ok(()) } else { Err("the positions differ".into()) }
    }

    fn settle(&mut self, range: Range<u64>, oracle: &mut Oracle) {
        let events = self.positions.unsettled(range.clone()).into_iter().flatten();
        oracle.settled.extend(events.filter_map(|at| self.events.get(&at)));
        self.positions.settle(range);
        self.disk.advance(self.positions.progress());
        self.disk.clean().unwrap_or_default();
    }

    fn sync(&mut self, oracle: &mut Oracle) {
        if self.disk.sync().is_ok() {
            oracle.confirmed.extend(self.events.range(self.disk.first_synced()..).map(|(_, event)| event));
            // An error of a folder that was taken over is no error of the synchronization.
            if self.disk.take_trouble().is_none() {
                oracle.settled_for_good.clone_from(&oracle.settled);
            }
        }
    }

    fn read(&mut self) -> Result<(), String> {
        let Some(range) = self.positions.unsettled(0..self.positions.next()).into_iter().next() else { return Ok(()) };
        match self.disk.read(range.start..self.positions.next()) {
            Ok(Some((there, payload))) => {
                let first = there.start;
                let record = u64::from_le_bytes(payload[..8].try_into().unwrap());
                match self.events.get(&first) {
                    Some((there, 0)) if *there == record => Ok(()),
                    there => Err(format!("record {record} is read at {first}, where {there:?} is")),
                }
            }
            Ok(None) => Err(format!("nothing is read at {}", range.start)),
            Err(_) => Ok(()),
        }
    }
}

fn run(ops: &[Op], faults: &[(u64, Fault)]) -> Result<(), String> {
    let (fs, mut oracle) = (ModelFs::new(), Oracle::default());
    let mut life = begin(&fs, &mut oracle)?;
    fs.fail(faults);
    for op in ops.iter().chain([&Op::Restart(End::PowerFailure(7)), &Op::Restart(End::Kill)]) {
        match op {
            Op::Append { records, events, bytes } => life.append(&fs, (*records, *events, *bytes), &mut oracle)?,
            Op::Sync => life.sync(&mut oracle),
            Op::Settle { events, behind } => {
                let first = life.positions.progress().frontier + behind;
                life.settle(first..first + events, &mut oracle);
            }
            // A fault may have made it unreadable.
            Op::Read if faults.is_empty() => life.read()?,
            Op::Read => {}
            Op::Restart(end) => {
                if life.disk.is_torn() {
                    // It ends before the next append leaves the segment: what was refused last may be there.
                    oracle.refused.clear();
                }
                let end = if fs.is_dead() && *end == End::Orderly { End::Kill } else { *end };
                if end == End::Orderly {
                    life.sync(&mut oracle);
                    drop(life.disk.end());
                } else {
                    drop(life);
                }
                fs.reboot(match end {
                    End::PowerFailure(seed) => Some(seed),
                    _ => None,
                });
                life = begin(&fs, &mut oracle)?;
            }
        }
        if fs.is_dead() {
            if life.disk.is_torn() {
                oracle.refused.clear();
            }
            drop(life);
            fs.reboot(None);
            life = begin(&fs, &mut oracle)?;
        }
    }
    Ok(())
}

/// 1,000, or as many as `PROPTEST_CASES` says.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 1000 };
    ProptestConfig { cases, ..default }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_was_synchronized_is_found_again_whatever_fails(
        ops in prop::collection::vec(op(), 1..40),
        faults in prop::collection::vec(fault(), 0..4),
    ) {
        run(&ops, &faults).map_err(TestCaseError::fail)?;
    }
}

/// Programs that once failed.
fn append(records: usize, bytes: usize) -> Op {
    Op::Append { records, events: 1, bytes }
}

fn holds(ops: &[Op], faults: &[(u64, Fault)]) {
    run(ops, faults).expect("it once did not");
}

const FAILS: Fault = Fault::Fails(io::ErrorKind::Other);

#[test]
fn what_was_taken_over_is_synchronized_too() {
    holds(&[append(1, 0), Op::Restart(End::Kill), Op::Sync], &[]);
}

#[test]
fn a_frontier_whose_name_is_not_on_disk_is_not_taken_for_synchronized() {
    let settle = || Op::Settle { events: 1, behind: 0 };
    let ops = [
        append(1, 0),
        append(1, 0),
        Op::Sync,
        settle(),
        append(1, 0),
        Op::Sync,
        settle(),
        append(3, 0),
        Op::Sync,
        Op::Sync,
    ];
    (0..20).for_each(|call| holds(&ops, &[(call, FAILS)]));
}

#[test]
fn what_a_failed_synchronization_of_another_process_was_to_write_is_written_again() {
    let ops = [append(3, 601), append(1, 0), append(3, 243), append(2, 154), append(2, 405), Op::Sync, Op::Sync];
    (0..30).for_each(|call| holds(&ops, &[(call, FAILS), (call + 1, Fault::Kill)]));
}

#[test]
fn what_was_refused_is_not_found_if_the_file_could_not_be_cut_either() {
    let half = Fault::Half(io::ErrorKind::StorageFull);
    let ops = [append(1, 10), Op::Sync, append(5, 200), append(1, 0), Op::Restart(End::Kill), append(1, 0), Op::Sync];
    (0..30).for_each(|call| holds(&ops, &[(call, half), (call + 1, FAILS)]));
}

#[test]
fn a_segment_that_could_not_be_begun_hides_no_record_that_comes_later() {
    let ops = [append(3, 601), append(3, 601), append(3, 601), append(1, 0), Op::Sync, Op::Restart(End::Kill)];
    for call in 0..40 {
        (1..4).for_each(|later| holds(&ops, &[(call, FAILS), (call + later, FAILS)]));
    }
}

#[test]
fn a_folder_of_another_process_that_cannot_be_synchronized_fails_no_synchronization() {
    let (fs, mut oracle) = (ModelFs::new(), Oracle::default());
    let mut life = begin(&fs, &mut oracle).unwrap();
    life.append(&fs, (2, 1, 100), &mut oracle).unwrap();
    drop(life);
    fs.reboot(None);
    let mut life = begin(&fs, &mut oracle).unwrap();
    life.append(&fs, (1, 1, 10), &mut oracle).unwrap();
    // The first call of a synchronization is that of its own segment.
    fs.fail(&[(1, FAILS)]);
    let before = fs.calls();
    life.disk.sync().unwrap();
    let tried = fs.calls() - before;
    assert_eq!((life.disk.take_trouble().is_some(), life.disk.first_synced()), (true, 2));
    let mut calls = Vec::new();
    for _ in 0..3 {
        let before = fs.calls();
        life.disk.sync().unwrap();
        calls.push(fs.calls() - before);
    }
    assert!(tried > 0 && life.disk.take_trouble().is_none());
    assert_eq!(life.disk.first_synced(), 0, "it was tried again: {calls:?}");
    assert!(calls[2] > calls[0] && calls[2] > calls[1], "not at once: {calls:?}");
}

#[test]
fn a_spool_on_another_machine_is_refused_unless_that_is_allowed() {
    let open = |spool: Spool| DiskStore::new(spool, ModelFs::of_kind(FsKind::Network("NFS"))).open("sink");
    let error = open(Spool::new("spool")).unwrap_err().into_source();
    let cause = error.source().unwrap().to_string();
    assert_eq!(error.to_string(), "the spool in `spool` cannot be opened");
    assert!(cause.contains("NFS") && cause.contains("`allow_network_file_system`"), "{cause}");
    assert!(open(Spool::new("spool").allow_network_file_system()).is_ok());
}
