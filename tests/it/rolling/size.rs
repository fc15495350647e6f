//! Rolled by the size.

use std::fs;

use logweir::sink::{Durability, FileSink, Rolling};
use logweir::{Pipeline, Sink};
use proptest::prelude::*;
use tokio::runtime;

use super::{Clock, DAY, MIDNIGHT, all_lines, folder, lines, names, open, write};
use crate::children::Plain;
use crate::support::{PATIENCE, builder, cases, emit_numbers};

#[tokio::test]
async fn a_file_has_the_most_bytes_or_fewer_and_a_longer_line_a_file_of_its_own() {
    let folder = folder("limits");
    let mut sink = open(&folder, Clock::at(MIDNIGHT).rules(Rolling::by_size(10)));
    // With their ends: 4 + 6 fill a file to the last byte.
    write(&mut sink, ["one", "three", "a", "far too long for it", "b", "c"]).await;
    let expected: [(&str, &[&str]); 4] = [
        ("app.2026-11-24.0001.log", &["one", "three"]),
        ("app.2026-11-24.0002.log", &["a"]),
        ("app.2026-11-24.0003.log", &["far too long for it"]),
        ("app.2026-11-24.0004.log", &["b", "c"]),
    ];
    let expected = expected.map(|(name, lines)| (name.to_owned(), lines.iter().map(ToString::to_string).collect()));
    assert_eq!(lines(&folder), expected.into());
    assert_eq!(sink.written_bytes(), 4 + 6 + 2 + 20 + 2 + 2);
}

#[tokio::test]
async fn numbers_begin_anew_with_each_date_and_go_on_past_four_digits() {
    let folder = folder("numbers");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily().max_bytes(1)));
    write(&mut sink, ["a", "b"]).await;
    clock.advance(DAY);
    write(&mut sink, ["c", "d"]).await;
    let dates = ["24.0001", "24.0002", "25.0001", "25.0002"];
    assert_eq!(names(&folder), dates.map(|date| format!("app.2026-11-{date}.log")));
    sink.close().await.unwrap();

    fs::write(folder.join("app.2026-11-25.9999.log"), "x\n").unwrap();
    let mut sink = open(&folder, clock.rules(Rolling::daily().max_bytes(1)));
    write(&mut sink, ["e"]).await;
    assert_eq!(fs::read_to_string(folder.join("app.2026-11-25.10000.log")).unwrap(), "e\n");
}

#[tokio::test]
async fn by_size_alone_no_time_rolls_a_file_and_its_date_is_that_of_its_beginning() {
    let folder = folder("no-time");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::by_size(4)));
    write(&mut sink, ["a"]).await;
    clock.advance(3 * DAY);
    write(&mut sink, ["b", "c"]).await;
    assert_eq!(names(&folder), ["app.2026-11-24.0001.log", "app.2026-11-27.0001.log"]);
}

#[tokio::test]
async fn files_are_called_as_the_pattern_says() {
    let folder = folder("pattern");
    let rolling = Rolling::hourly().max_bytes(2).file_name("{seq}_{date}-shop.txt");
    let mut sink = open(&folder, Clock::at(MIDNIGHT).rules(rolling));
    write(&mut sink, ["a", "b"]).await;
    assert_eq!(names(&folder), ["0001_2026-11-24T00-shop.txt", "0002_2026-11-24T00-shop.txt"]);
}

#[tokio::test]
async fn every_durability_rolls() {
    for durability in [Durability::Buffered, Durability::SyncOnFlush, Durability::SyncEveryBatch] {
        let folder = folder(&format!("durability-{durability:?}")).join("new/folder");
        let rolling = Clock::at(MIDNIGHT).rules(Rolling::by_size(4));
        let mut sink = FileSink::new(folder.join("app.log")).format(Plain).durability(durability).rolling(rolling);
        sink.open().unwrap();
        write(&mut sink, 0..9).await;
        sink.flush().await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(all_lines(&folder), (0..9).map(|n: u32| n.to_string()).collect::<Vec<_>>());
        assert_eq!(names(&folder).len(), 5);
    }
}

#[tokio::test]
async fn through_a_logger_every_line_is_there_once_in_order_and_the_books_say_so() {
    let folder = folder("logger");
    let rolling = Clock::at(MIDNIGHT).rules(Rolling::by_size(1000));
    let file = FileSink::new(folder.join("app.log")).format(Plain).rolling(rolling);
    let logger = builder().queue_capacity(20_000).sink("file", Pipeline::new(file)).start().unwrap();
    emit_numbers(&logger, 0..10_000);
    let report = logger.shutdown(PATIENCE).await;
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.sinks[0].errors), (10_000, 0));
    assert!(all_lines(&folder).into_iter().eq((0..10_000).map(|n: u64| n.to_string())));
    let bytes: u64 = names(&folder).iter().map(|name| fs::metadata(folder.join(name)).unwrap().len()).sum();
    assert_eq!(report.sinks[0].written_bytes, bytes);
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn whatever_is_written_reads_back_in_order_and_no_file_is_longer_than_it_may_be(
        batches in prop::collection::vec(prop::collection::vec(0..40_usize, 0..20), 1..12),
        most in 1..60_u64,
        restarts in any::<u16>(),
        steps in prop::collection::vec(-200_000..200_000_i64, 12),
    ) {
        let folder = folder("any");
        let clock = Clock::at(MIDNIGHT);
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let mut written = Vec::new();
        runtime.block_on(async {
            let mut sink = open(&folder, clock.rules(Rolling::daily().max_bytes(most)));
            for (index, lengths) in batches.iter().enumerate() {
                if restarts >> index & 1 == 1 {
                    sink.close().await.unwrap();
                    sink = open(&folder, clock.rules(Rolling::daily().max_bytes(most)));
                }
                clock.set(MIDNIGHT.saturating_add_signed(steps[index]));
                let lines: Vec<_> = lengths.iter().map(|len| "x".repeat(*len)).collect();
                sink.write(&super::batch(&lines)).await.unwrap();
                written.extend(lines);
            }
            sink.close().await.unwrap();
        });
        prop_assert_eq!(all_lines(&folder), written);
        for (name, lines) in lines(&folder) {
            let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
            prop_assert!(bytes as u64 <= most || lines.len() == 1, "{}: {} of {}", name, bytes, most);
        }
    }
}
