//! Damaged files: a clear result each time, and the undamaged rest is delivered.

use std::fs;
use std::path::Path;

use logweir::{DropReason, Spool};

use super::{Folder, Unavailable, end, spooled, start};
use crate::support::{PATIENCE, ScriptedSink, emit_numbers};

const BATCHES: u64 = 3;
const EVENTS: u64 = 4;

/// A spool with some batches, whose process has ended.
async fn left(name: &str) -> Folder {
    let folder = Folder::new(name);
    let logger = start(spooled(Unavailable, folder.spool()));
    for batch in 0..BATCHES {
        emit_numbers(&logger, batch * EVENTS..(batch + 1) * EVENTS);
        assert!(logger.flush(PATIENCE).await.complete);
    }
    assert_eq!(end(&logger).await.spooled, BATCHES * EVENTS);
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => assert!(fs::copy(entry.path(), to).is_ok()),
        }
    }
}

/// What the next process makes of a spool: the numbers that the sink got, and how many are counted as corrupt.
async fn recovered(folder: &Path) -> (Vec<u64>, u64) {
    let sink = ScriptedSink::new();
    let logger = start(spooled(sink.clone(), Spool::new(folder)));
    let ended = end(&logger).await;
    assert_eq!((ended.spooled, ended.unconfirmed), (0, 0), "{ended}");
    let corrupt = ended.dropped.get(DropReason::SpoolCorrupt);
    assert_eq!((ended.recovered, ended.dropped.total()), (ended.delivered + corrupt, corrupt), "{ended}");
    assert_eq!(ended.delivered, sink.seen());
    (sink.numbers(), corrupt)
}

#[tokio::test]
async fn whichever_byte_is_flipped_the_undamaged_rest_is_delivered_in_order() {
    let folder = left("flipped").await;
    let segment = folder.segments().remove(0);
    let bytes = fs::read(&segment).unwrap();
    let all: Vec<u64> = (0..BATCHES * EVENTS).collect();
    for at in 0..bytes.len() {
        let other = Folder::new("flipped-copy");
        copy(folder.path(), other.path());
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&other.segments()[0], damaged).unwrap();
        let (numbers, corrupt) = recovered(other.path()).await;
        let lost = all.iter().filter(|number| !numbers.contains(number)).count() as u64;
        assert!(numbers.is_sorted() && numbers.iter().all(|number| all.contains(number)), "byte {at}: {numbers:?}");
        assert!(lost == 0 || lost == EVENTS, "byte {at} of {}: {lost} are lost", bytes.len());
        // Of the last record it is not known whether it was ever whole.
        let is_last = !numbers.contains(&(BATCHES * EVENTS - 1));
        assert_eq!(corrupt, if is_last { 0 } else { lost }, "byte {at}");
    }
}

#[tokio::test]
async fn wherever_a_segment_ends_the_records_before_it_are_delivered() {
    let folder = left("cut").await;
    let bytes = fs::read(&folder.segments()[0]).unwrap();
    for at in 0..bytes.len() {
        let other = Folder::new("cut-copy");
        copy(folder.path(), other.path());
        fs::write(&other.segments()[0], &bytes[..at]).unwrap();
        let (numbers, corrupt) = recovered(other.path()).await;
        assert_eq!((numbers, corrupt), ((0..numbers_before(&bytes, at)).collect(), 0), "cut at {at}");
    }
}

/// How many events have their whole record before this byte; see `src/spool/layout.rs`.
fn numbers_before(bytes: &[u8], end: usize) -> u64 {
    let (mut at, mut events) = (40, 0);
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    while at + 20 <= bytes.len() && at + 20 + number(at) as usize <= end {
        events += u64::from(number(at + 4));
        at += 20 + number(at) as usize;
    }
    events
}

#[tokio::test]
async fn without_its_frontier_a_spool_is_delivered_as_a_whole() {
    let folder = left("frontier").await;
    for entry in fs::read_dir(folder.segments()[0].parent().unwrap()).unwrap().map(Result::unwrap) {
        if entry.file_name() == "frontier" {
            fs::write(entry.path(), "no frontier").unwrap();
        }
    }
    assert_eq!(recovered(folder.path()).await, ((0..BATCHES * EVENTS).collect(), 0));
}

#[tokio::test]
async fn a_segment_that_is_missing_is_counted_and_the_others_are_delivered() {
    for index in [0, 1] {
        without_segment(index).await;
    }
}

async fn without_segment(index: usize) {
    let folder = Folder::new("missing");
    let small = || folder.spool().max_bytes(64 << 20);
    let logger = start(spooled(Unavailable, small()));
    for n in 0..6 {
        logger.emit(crate::support::heavy(n, 200_000));
        logger.emit(crate::support::heavy(n + 100, 200_000));
    }
    assert!(logger.flush(PATIENCE).await.complete);
    for n in 0..40 {
        logger.emit(crate::support::heavy(200 + n, 200_000));
        assert!(logger.flush(PATIENCE).await.complete);
    }
    let spooled_before = end(&logger).await.spooled;
    let segments = folder.segments();
    assert!(segments.len() >= 3, "{segments:?}");
    fs::remove_file(&segments[index]).unwrap();
    let (numbers, corrupt) = recovered(folder.path()).await;
    assert!(corrupt > 0, "the gap in the positions is counted");
    assert_eq!(numbers.len() as u64 + corrupt, spooled_before);
}
