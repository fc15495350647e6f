//! What is read of a spool beside the process that uses it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use logweir::DropReason;
use logweir::spool::SpoolReader;

use super::{Folder, Unavailable, end, spooled, start};
use crate::support::{Answer, PATIENCE, ScriptedSink, emit_numbers, number, until};

fn files(folder: &Folder) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.path().to_owned()]);
    while let Some(dir) = folders.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => drop(files.insert(entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
    }
    files
}

fn numbers(folder: &Folder) -> Vec<u64> {
    let mut numbers = Vec::new();
    for mut reader in SpoolReader::open_all(folder.path()).unwrap() {
        while let Some(stored) = reader.next_batch().unwrap() {
            numbers.extend(stored.batch.iter().map(|record| record.message().to_string().parse::<u64>().unwrap()));
        }
    }
    numbers
}

#[tokio::test]
async fn a_reader_beside_the_process_sees_what_is_appended_and_changes_nothing() {
    let folder = Folder::new("reader");
    let logger = start(spooled(Unavailable, folder.spool()));
    emit_numbers(&logger, 0..100);
    assert!(logger.flush(PATIENCE).await.complete);
    let before = files(&folder);
    let reader = SpoolReader::open_all(folder.path()).unwrap().remove(0);
    assert_eq!((reader.sink(), reader.outstanding(), reader.positions()), ("sink", 100, 0..100));
    assert!(reader.segments().map(|segment| segment.bytes).sum::<u64>() == reader.bytes() && reader.bytes() > 0);
    assert_eq!(numbers(&folder), (0..100).collect::<Vec<_>>());
    let check = reader.verify().unwrap();
    assert_eq!((check.events, check.outstanding, check.corrupt_events()), (100, 100, 0));
    assert_eq!(files(&folder), before);
    assert_eq!(end(&logger).await.spooled, 100);
}

#[tokio::test]
async fn what_is_settled_is_not_read() {
    let folder = Folder::new("settled");
    let sink = ScriptedSink::always(Answer::Temporary).writes([Answer::Delivered(3)]);
    let logger = start(spooled(sink, folder.spool()));
    emit_numbers(&logger, 0..10);
    until(&logger, |sink| sink.delivered >= 3).await;
    assert!(logger.flush(PATIENCE).await.complete);
    assert_eq!(numbers(&folder), (3..10).collect::<Vec<_>>());
    assert_eq!(end(&logger).await.spooled, 7);
    let reader = SpoolReader::open_all(folder.path()).unwrap().remove(0);
    assert_eq!((reader.outstanding(), reader.progress().frontier), (7, 3));
}

#[tokio::test]
async fn what_verify_finds_damaged_is_what_the_next_process_counts_as_corrupt() {
    let folder = Folder::new("verify");
    let logger = start(spooled(Unavailable, folder.spool()));
    for first in [0, 10, 20] {
        emit_numbers(&logger, first..first + 10);
        assert!(logger.flush(PATIENCE).await.complete);
    }
    assert_eq!(end(&logger).await.spooled, 30);
    let segment = folder.segments().remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let check = SpoolReader::open_all(folder.path()).unwrap().remove(0).verify().unwrap();
    assert_eq!((check.corrupt.len(), check.corrupt[0].clone()), (1, 10..20));
    assert_eq!((check.events, check.outstanding), (20, 20));
    let sink = ScriptedSink::new();
    let logger = start(spooled(sink.clone(), folder.spool()));
    let ended = end(&logger).await;
    assert_eq!(ended.dropped.get(DropReason::SpoolCorrupt), check.corrupt_events());
    assert_eq!(sink.numbers(), (0..10).chain(20..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_damage_and_not_nothing() {
    let folder = Folder::new("unreadable");
    let logger = start(spooled(Unavailable, folder.spool().max_bytes(4 << 20)).max_event_bytes(8 << 10));
    for n in 0..600 {
        logger.emit(number(n).with("text", "x".repeat(2500)));
        if n % 50 == 49 {
            assert!(logger.flush(PATIENCE).await.complete);
        }
    }
    assert_eq!(end(&logger).await.spooled, 600);
    let first = folder.segments().remove(0);
    fs::remove_file(&first).unwrap();
    fs::create_dir(&first).unwrap();
    let reader = SpoolReader::open_all(folder.path()).unwrap().remove(0);
    let lost = reader.segments().next().unwrap().positions;
    let check = reader.verify().unwrap();
    assert!(!lost.is_empty() && check.corrupt.len() == 1 && check.corrupt[0] == lost, "{lost:?}: {check:?}");
    assert_eq!(check.events + check.corrupt_events(), 600);
    fs::remove_dir(&first).unwrap();
}

#[test]
fn folders_of_another_version_are_named_and_not_read() {
    let folder = Folder::new("versions");
    let other = folder.path().join("sink").join("v9-0000000000000001");
    fs::create_dir_all(&other).unwrap();
    assert!(SpoolReader::open_all(folder.path()).unwrap().is_empty());
    assert_eq!(SpoolReader::unknown(folder.path()).unwrap(), [other]);
    assert!(SpoolReader::open_all(folder.path().join("missing")).is_err());
}
