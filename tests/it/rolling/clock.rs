//! Rolled by the time.

use std::error::Error;
use std::fs;
use std::time::Duration;

use logweir::Sink;
use logweir::sink::Rolling;

use super::{Clock, DAY, HOUR, MIDNIGHT, MINUTE, all_lines, folder, lines, names, open, write};

#[tokio::test]
async fn a_day_of_hours_is_a_file_an_hour_with_the_lines_of_that_hour() {
    let folder = folder("hours");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::hourly()));
    for minute in 0..24 * 60 {
        clock.set(MIDNIGHT + minute * MINUTE);
        write(&mut sink, [format!("{:02} first of minute {minute}", minute / 60), format!("{:02} last", minute / 60)])
            .await;
    }
    sink.close().await.unwrap();
    let files = lines(&folder);
    assert_eq!(files.len(), 24);
    for (hour, (name, lines)) in files.iter().enumerate() {
        assert_eq!(*name, format!("app.2026-11-24T{hour:02}.0001.log"));
        assert_eq!(lines.len(), 120);
        assert!(lines.iter().all(|line| line.starts_with(&format!("{hour:02} "))), "{name}");
    }
}

#[tokio::test]
async fn each_unit_has_its_own_label_and_begins_at_its_own_border() {
    for (name, rolling, border, before, behind) in [
        ("minute", Rolling::minutely(), MINUTE, "2026-11-24T00-00", "2026-11-24T00-01"),
        ("hour", Rolling::hourly(), HOUR, "2026-11-24T00", "2026-11-24T01"),
        ("day", Rolling::daily(), DAY, "2026-11-24", "2026-11-25"),
    ] {
        let folder = folder(&format!("unit-{name}"));
        let clock = Clock::at(MIDNIGHT);
        let mut sink = open(&folder, clock.rules(rolling));
        write(&mut sink, ["a"]).await;
        clock.set(MIDNIGHT + border - 1);
        write(&mut sink, ["b"]).await;
        clock.set(MIDNIGHT + border);
        write(&mut sink, ["c"]).await;
        let expected =
            [(format!("app.{before}.0001.log"), vec!["a", "b"]), (format!("app.{behind}.0001.log"), vec!["c"])];
        assert_eq!(
            lines(&folder),
            expected.map(|(name, lines)| (name, lines.into_iter().map(String::from).collect())).into()
        );
    }
}

#[tokio::test]
async fn time_in_which_nothing_is_written_has_no_file() {
    let folder = folder("idle");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::hourly()));
    assert_eq!(names(&folder), ["app.2026-11-24T00.0001.log"], "what cannot be written is known at the start");
    clock.advance(5 * HOUR);
    assert_eq!(names(&folder), ["app.2026-11-24T00.0001.log"]);
    write(&mut sink, ["five"]).await;
    assert_eq!(names(&folder), ["app.2026-11-24T05.0001.log"], "the one in which nothing was written has gone");
    sink.flush().await.unwrap();
    clock.advance(30 * HOUR);
    write(&mut sink, ["eleven"]).await;
    assert_eq!(names(&folder), ["app.2026-11-24T05.0001.log", "app.2026-11-25T11.0001.log"]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_goes_on_in_the_current_file_and_rolls_it_after_a_period() {
    let folder = folder("back");
    let clock = Clock::at(MIDNIGHT + 10 * HOUR);
    let mut sink = open(&folder, clock.rules(Rolling::hourly()));
    write(&mut sink, ["ten"]).await;
    // An hour back, as by a daylight saving time that was set by hand: no earlier name, no new file at once.
    clock.set(MIDNIGHT + 9 * HOUR + 30 * MINUTE);
    write(&mut sink, ["half past nine"]).await;
    clock.set(MIDNIGHT + 9 * HOUR + 59 * MINUTE);
    write(&mut sink, ["one to ten"]).await;
    clock.set(MIDNIGHT + 10 * HOUR);
    write(&mut sink, ["ten again"]).await;
    clock.set(MIDNIGHT + 11 * HOUR);
    write(&mut sink, ["eleven"]).await;
    let expected: [(&str, &[&str]); 3] = [
        ("app.2026-11-24T10.0001.log", &["ten", "half past nine", "one to ten"]),
        ("app.2026-11-24T10.0002.log", &["ten again"]),
        ("app.2026-11-24T11.0001.log", &["eleven"]),
    ];
    let expected = expected.map(|(name, lines)| (name.to_owned(), lines.iter().map(ToString::to_string).collect()));
    assert_eq!(lines(&folder), expected.into());
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_does_not_stop_the_rolling_and_names_no_file_for_years() {
    let folder = folder("ahead");
    let clock = Clock::at(MIDNIGHT + 12 * 365 * DAY);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    let mut written = Vec::new();
    for day in 0..5 {
        // Right after the first line the clock is what it should be.
        written.push(format!("day {day}"));
        write(&mut sink, written.last()).await;
        clock.set(MIDNIGHT + day * DAY);
    }
    sink.close().await.unwrap();
    assert_eq!(names(&folder).len(), 4, "{:?}", names(&folder));
    assert!(names(&folder).iter().all(|name| name.starts_with("app.2026-11-2")), "{:?}", names(&folder));
    assert_eq!(all_lines(&folder), written);
}

#[cfg(unix)]
#[tokio::test]
async fn the_path_is_a_link_to_the_current_file() {
    let folder = folder("link");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    for day in 0..3 {
        clock.set(MIDNIGHT + day * DAY);
        write(&mut sink, [day]).await;
        assert_eq!(fs::read_to_string(folder.join("app.log")).unwrap(), format!("{day}\n"));
        let to = fs::read_link(folder.join("app.log")).unwrap();
        assert_eq!(
            to.to_str().unwrap(),
            format!("app.2026-11-{}.0001.log", 24 + day),
            "it can be moved with its folder"
        );
    }
    assert_eq!(names(&folder).len(), 3, "nothing else is left: {:?}", names(&folder));
}

#[cfg(unix)]
#[tokio::test]
async fn what_else_stands_at_the_path_is_left_alone() {
    use std::os::unix::fs::symlink;

    let folder = folder("no-link");
    let clock = Clock::at(MIDNIGHT);
    fs::write(folder.join("app.log"), "from before\n").unwrap();
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["one"]).await;
    assert_eq!(fs::read_to_string(folder.join("app.log")).unwrap(), "from before\n");
    let trouble = sink.take_error().unwrap();
    assert!(trouble.source().unwrap().to_string().contains("app.log` a link to the current log file"), "{trouble:?}");
    clock.advance(DAY);
    write(&mut sink, ["tomorrow"]).await;
    assert!(sink.take_error().is_none(), "it is said once");
    clock.set(MIDNIGHT + DAY);
    sink.close().await.unwrap();

    for target in ["elsewhere.log", "/dev/null", "other/app.2026-11-24.0001.log"] {
        fs::remove_file(folder.join("app.log")).unwrap();
        symlink(target, folder.join("app.log")).unwrap();
        let mut sink = open(&folder, clock.rules(Rolling::daily()));
        write(&mut sink, ["two"]).await;
        assert_eq!(fs::read_link(folder.join("app.log")).unwrap().to_str(), Some(target));
    }
    assert_eq!(all_lines(&folder), ["one", "tomorrow", "two", "two", "two"]);
}

#[tokio::test]
async fn one_wrong_look_at_the_clock_deletes_nothing_and_dates_no_later_file() {
    // Before, in the middle of, and after the wrong look.
    for restarts in
        [[false, false, false], [false, false, true], [true, false, true], [true, true, true], [true, true, false]]
    {
        let folder = folder("wrong-look");
        let clock = Clock::at(MIDNIGHT);
        let rules = || clock.rules(Rolling::daily().keep_age(Duration::from_secs(30 * DAY)));
        let mut sink = open(&folder, rules());
        let mut written = Vec::new();
        for day in 0..8 {
            clock.set(MIDNIGHT + day * DAY);
            written.push(format!("day {day}"));
            write(&mut sink, written.last()).await;
        }
        clock.advance(400 * DAY);
        for (line, is_restarted) in restarts[..2].iter().enumerate() {
            if *is_restarted {
                sink.close().await.unwrap();
                sink = open(&folder, rules());
            }
            written.push(format!("of another time, {line}"));
            write(&mut sink, written.last()).await;
        }
        sink.close().await.unwrap();
        clock.set(MIDNIGHT + 7 * DAY);
        if restarts[2] {
            sink = open(&folder, rules());
        }
        for day in 7..10 {
            clock.set(MIDNIGHT + day * DAY + HOUR);
            written.push(format!("day {day}, one o'clock"));
            write(&mut sink, written.last()).await;
        }
        sink.close().await.unwrap();
        assert_eq!(all_lines(&folder), written);
        assert!(names(&folder).iter().all(|name| name.as_str() < "app.2026-12-04"), "{:?}", names(&folder));
        let link = fs::read_link(folder.join("app.log")).unwrap();
        assert_eq!(Some(link.to_str().unwrap()), names(&folder).last().map(String::as_str));
    }
}

#[tokio::test]
async fn several_files_that_a_wrong_clock_has_dated_are_dated_again() {
    let folder = folder("wrong-files");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily().max_bytes(10)));
    write(&mut sink, 0..5).await;
    clock.advance(400 * DAY);
    write(&mut sink, 5..30).await;
    clock.set(MIDNIGHT + HOUR);
    write(&mut sink, 30..31).await;
    clock.advance(DAY);
    write(&mut sink, 31..40).await;
    sink.close().await.unwrap();
    assert_eq!(all_lines(&folder), (0..40).map(|line| line.to_string()).collect::<Vec<_>>());
    assert!(names(&folder).iter().all(|name| name.starts_with("app.2026-11-2")), "{:?}", names(&folder));
}

#[tokio::test]
async fn one_look_at_a_clock_that_is_far_behind_renames_and_deletes_nothing() {
    let folder = folder("behind-once");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::daily().max_bytes(6).keep_age(Duration::from_secs(30 * DAY)));
    let mut sink = open(&folder, rules());
    for day in 0..5 {
        clock.set(MIDNIGHT + day * DAY);
        write(&mut sink, [10 + 2 * day, 11 + 2 * day]).await;
    }
    let before = names(&folder);
    // At the moment at which a file is full.
    clock.set(0);
    write(&mut sink, [20]).await;
    clock.set(MIDNIGHT + 4 * DAY);
    write(&mut sink, [21]).await;
    sink.close().await.unwrap();
    assert!(names(&folder).starts_with(&before), "{:?}", names(&folder));
    assert_eq!(all_lines(&folder), (10..22).map(|line| line.to_string()).collect::<Vec<_>>());

    // Nor is the only file renamed, at the moment at which it is full.
    let folder = super::folder("behind-once-first");
    clock.set(MIDNIGHT);
    let mut sink = open(&folder, rules());
    write(&mut sink, [10, 11]).await;
    clock.set(MIDNIGHT - 300 * DAY);
    write(&mut sink, [12]).await;
    clock.set(MIDNIGHT);
    write(&mut sink, [13]).await;
    assert_eq!(names(&folder)[0], "app.2026-11-24.0001.log");
    assert_eq!(all_lines(&folder), ["10", "11", "12", "13"]);
}

#[tokio::test]
async fn one_start_with_a_clock_that_is_behind_renames_nothing_of_files_with_gaps() {
    let folder = folder("behind-sparse");
    for (day, line) in [("10", "a"), ("17", "b"), ("24", "c")] {
        fs::write(folder.join(format!("app.2026-11-{day}.0001.log")), format!("{line}\n")).unwrap();
    }
    let clock = Clock::at(MIDNIGHT - 4 * DAY);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["d"]).await;
    clock.set(MIDNIGHT + DAY);
    write(&mut sink, ["e"]).await;
    sink.close().await.unwrap();
    assert!(names(&folder).contains(&"app.2026-11-24.0001.log".to_owned()), "{:?}", names(&folder));
    assert_eq!(all_lines(&folder), ["a", "b", "c", "d", "e"]);

    // The first file is of a boot before the clock was set, and so is the clock now.
    let folder = super::folder("behind-unset");
    fs::write(folder.join("app.1970-01-01.0001.log"), "a\n").unwrap();
    fs::write(folder.join("app.2026-11-24.0001.log"), "b\n").unwrap();
    let clock = Clock::at(0);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    for line in ["c", "d"] {
        write(&mut sink, [line]).await;
        clock.advance(DAY);
    }
    sink.close().await.unwrap();
    assert!(names(&folder).contains(&"app.2026-11-24.0001.log".to_owned()), "{:?}", names(&folder));
    assert_eq!(all_lines(&folder), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_clock_that_is_far_behind_at_a_start_renames_nothing() {
    let folder = folder("far-behind");
    let clock = Clock::at(MIDNIGHT);
    for day in 0..3 {
        clock.set(MIDNIGHT + day * DAY);
        let mut sink = open(&folder, clock.rules(Rolling::daily()));
        write(&mut sink, [day]).await;
        sink.close().await.unwrap();
    }
    let before = names(&folder);
    // As at the boot of a machine that has no clock of its own.
    clock.set(0);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    for line in 3..6 {
        write(&mut sink, [line]).await;
        clock.advance(DAY);
    }
    sink.close().await.unwrap();
    assert!(names(&folder).starts_with(&before), "{:?}", names(&folder));
    assert_eq!(all_lines(&folder), ["0", "1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_clock_that_advances_with_each_look_is_looked_at_once_for_a_write() {
    let folder = folder("stepping");
    let clock = Clock::at(MIDNIGHT);
    let stepping = clock.clone();
    let rolling = Rolling::minutely().clock(move || {
        stepping.advance(MINUTE);
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(stepping.seconds())
    });
    let mut sink = open(&folder, rolling);
    for line in 0..5 {
        write(&mut sink, [line, line + 100]).await;
    }
    assert_eq!(names(&folder).len(), 5);
    assert_eq!(all_lines(&folder).len(), 10);
}

#[tokio::test]
async fn files_ahead_of_the_clock_that_another_start_has_left_keep_their_names() {
    let folder = folder("ahead-of-others");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::daily().max_bytes(6));
    let mut sink = open(&folder, rules());
    write(&mut sink, [10, 11]).await;
    clock.advance(400 * DAY);
    write(&mut sink, [12, 13, 14, 15]).await;
    sink.close().await.unwrap();
    let before = names(&folder);
    clock.set(MIDNIGHT + HOUR);
    let mut sink = open(&folder, rules());
    for number in 16..22 {
        clock.advance(HOUR);
        write(&mut sink, [number]).await;
    }
    sink.close().await.unwrap();
    // One of the two clocks was wrong, that of the other start or this one, and the files do not show which.
    assert!(names(&folder).starts_with(&before), "{:?}", names(&folder));
    assert_eq!(all_lines(&folder), (10..22).map(|line| line.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn files_without_a_gap_before_them_were_dated_by_a_clock_that_was_right() {
    let folder = folder("no-gap");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily().max_bytes(6)));
    for day in 0..6 {
        clock.set(MIDNIGHT + day * DAY);
        write(&mut sink, [10 + 2 * day, 11 + 2 * day]).await;
    }
    let before = names(&folder);
    // It is this clock that is wrong, for a while.
    clock.set(MIDNIGHT);
    write(&mut sink, [22, 23, 24, 25]).await;
    clock.set(MIDNIGHT + 6 * DAY);
    write(&mut sink, [26]).await;
    sink.close().await.unwrap();
    assert!(names(&folder).starts_with(&before), "{:?}", names(&folder));
    assert_eq!(all_lines(&folder), (10..27).map(|line| line.to_string()).collect::<Vec<_>>());
}
