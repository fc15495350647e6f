//! Where a sink goes on that finds files of an earlier run.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use logweir::Sink;
use logweir::sink::Rolling;

use super::{Clock, DAY, HOUR, MIDNIGHT, all_lines, folder, lines, names, open, write};

#[tokio::test]
async fn a_restart_goes_on_with_the_newest_file_if_its_time_and_its_room_are_not_over() {
    let folder = folder("goes-on");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::daily().max_bytes(6));
    for (time, line) in [(0, "a"), (HOUR, "b"), (2 * HOUR, "c"), (3 * HOUR, "d"), (DAY, "e"), (DAY, "f")] {
        clock.set(MIDNIGHT + time);
        let mut sink = open(&folder, rules());
        write(&mut sink, [line]).await;
        sink.close().await.unwrap();
    }
    let expected: [(&str, &[&str]); 3] = [
        ("app.2026-11-24.0001.log", &["a", "b", "c"]),
        ("app.2026-11-24.0002.log", &["d"]),
        ("app.2026-11-25.0001.log", &["e", "f"]),
    ];
    let expected = expected.map(|(name, lines)| (name.to_owned(), lines.iter().map(ToString::to_string).collect()));
    assert_eq!(lines(&folder), expected.into());
}

#[tokio::test]
async fn a_line_torn_by_a_crash_is_ended_in_the_file_it_is_in() {
    let folder = folder("torn");
    let clock = Clock::at(MIDNIGHT);
    fs::write(folder.join("app.2026-11-24.0001.log"), "whole\nto").unwrap();
    // Room for the end of the line, and not for another one.
    let mut sink = open(&folder, clock.rules(Rolling::daily().max_bytes(10)));
    write(&mut sink, ["next", "one"]).await;
    assert_eq!(fs::read_to_string(folder.join("app.2026-11-24.0001.log")).unwrap(), "whole\nto\n");
    assert_eq!(fs::read_to_string(folder.join("app.2026-11-24.0002.log")).unwrap(), "next\none\n");
    sink.close().await.unwrap();
    // A torn file whose time is over is not the one that goes on; its last line is ended all the same.
    fs::write(folder.join("app.2026-11-24.0002.log"), "next\non").unwrap();
    clock.advance(DAY);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["tomorrow"]).await;
    assert_eq!(fs::read_to_string(folder.join("app.2026-11-24.0002.log")).unwrap(), "next\non\n");
    assert_eq!(fs::read_to_string(folder.join("app.2026-11-25.0001.log")).unwrap(), "tomorrow\n");
}

#[tokio::test]
async fn a_restart_before_the_newest_file_was_begun_goes_on_with_it() {
    let folder = folder("clock-back");
    let clock = Clock::at(MIDNIGHT + 2 * DAY);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["a"]).await;
    sink.close().await.unwrap();
    clock.set(MIDNIGHT);
    changed(&folder.join("app.2026-11-26.0001.log"), MIDNIGHT + 1);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["b"]).await;
    clock.advance(DAY);
    write(&mut sink, ["c"]).await;
    assert_eq!(names(&folder), ["app.2026-11-26.0001.log", "app.2026-11-26.0002.log"]);
    assert_eq!(all_lines(&folder), ["a", "b", "c"]);
}

/// Has a file last changed at this time.
fn changed(path: &Path, seconds: u64) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

#[tokio::test]
async fn with_a_file_of_a_clock_that_was_years_ahead_restarts_roll_by_the_time_and_old_files_go() {
    let folder = folder("restarts-ahead");
    let clock = Clock::at(MIDNIGHT + 12 * 365 * DAY);
    let rules = || clock.rules(Rolling::daily().keep_age(Duration::from_secs(2 * DAY)));
    let mut sink = open(&folder, rules());
    write(&mut sink, ["from the future"]).await;
    for day in 0..10 {
        for hour in [1, 2] {
            sink.close().await.unwrap();
            let newest = names(&folder).pop().unwrap();
            changed(&folder.join(newest), MIDNIGHT + day * DAY + if hour == 2 { HOUR } else { 0 } - HOUR);
            clock.set(MIDNIGHT + day * DAY + hour * HOUR);
            sink = open(&folder, rules());
            write(&mut sink, [format!("day {day} hour {hour}")]).await;
        }
    }
    sink.close().await.unwrap();
    // Of days 7, 8 and 9: the last change of the day before those was more than two days ago.
    let lines = all_lines(&folder);
    assert!(lines.ends_with(&["day 9 hour 1".to_owned(), "day 9 hour 2".to_owned()]), "{lines:?}");
    assert!((2..=4).contains(&names(&folder).len()), "{:?}", names(&folder));
}

#[tokio::test]
async fn a_compressed_file_is_never_gone_on_with() {
    let folder = folder("after-compressed");
    fs::write(folder.join("app.2026-11-24.0007.log.gz"), "not looked into").unwrap();
    // Left by a crash between the last two steps of a compression.
    fs::write(folder.join("app.2026-11-24.0007.log"), "not written to").unwrap();
    let mut sink = open(&folder, Clock::at(MIDNIGHT).rules(Rolling::daily()));
    write(&mut sink, ["a"]).await;
    assert_eq!(fs::read_to_string(folder.join("app.2026-11-24.0008.log")).unwrap(), "a\n");
    assert_eq!(fs::read_to_string(folder.join("app.2026-11-24.0007.log")).unwrap(), "not written to");
}

#[tokio::test]
async fn another_unit_or_pattern_begins_files_of_its_own_and_touches_no_others() {
    let folder = folder("changed");
    let clock = Clock::at(MIDNIGHT);
    for rolling in [Rolling::daily(), Rolling::hourly(), Rolling::daily().file_name("{date}.{seq}.txt")] {
        let mut sink = open(&folder, clock.rules(rolling.keep_files(1)));
        write(&mut sink, ["a"]).await;
        sink.close().await.unwrap();
    }
    let names = names(&folder);
    assert_eq!(names, ["2026-11-24.0001.txt", "app.2026-11-24.0001.log", "app.2026-11-24T00.0001.log"]);
}
