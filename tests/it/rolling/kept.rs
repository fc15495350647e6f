//! Which files stay.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use logweir::Sink;
use logweir::sink::Rolling;

use super::{Clock, DAY, MIDNIGHT, MINUTE, all_lines, folder, names, open, write};

const WEEK: u64 = 7 * 24 * 60;

/// A line a minute for a week, by a new sink every twelve hours.
async fn a_week(folder: &Path, rolling: Rolling) -> Vec<String> {
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(folder, clock.rules(rolling.clone()));
    for minute in 0..WEEK {
        clock.set(MIDNIGHT + minute * MINUTE);
        if minute % 720 == 360 {
            sink.close().await.unwrap();
            sink = open(folder, clock.rules(rolling.clone()));
        }
        write(&mut sink, [minute]).await;
    }
    sink.close().await.unwrap();
    names(folder)
}

/// The files of these minutes of the week.
fn files(minutes: impl Iterator<Item = u64>) -> Vec<String> {
    let name = |minute: u64| {
        let (day, hour, minute) = (24 + minute / 1440, minute / 60 % 24, minute % 60);
        format!("app.2026-11-{day:02}T{hour:02}-{minute:02}.0001.log")
    };
    minutes.map(name).collect()
}

#[tokio::test]
async fn of_a_week_of_minutes_the_newest_so_many_stay() {
    let kept = a_week(&folder("week-files"), Rolling::minutely().keep_files(100)).await;
    assert!(kept == files(WEEK - 100..WEEK), "{} from {:?} on", kept.len(), kept.first());
}

#[tokio::test]
async fn of_a_week_of_minutes_those_of_the_last_day_stay() {
    let kept = a_week(&folder("week-age"), Rolling::minutely().keep_age(Duration::from_secs(DAY))).await;
    // In the last minute, of which nothing is over: 1440 are, less than a day ago.
    assert!(kept == files(WEEK - 1441..WEEK), "{} from {:?} on", kept.len(), kept.first());
}

#[tokio::test]
async fn of_a_week_of_minutes_so_many_bytes_stay() {
    let folder = folder("week-bytes");
    let kept = a_week(&folder, Rolling::minutely().max_bytes(100).keep_bytes(400)).await;
    // Six each, and a hundred for the current one.
    let bytes = |name: &String| fs::metadata(folder.join(name)).unwrap().len();
    assert!(kept.iter().all(|name| bytes(name) == 6));
    assert!(kept == files(WEEK - 51..WEEK), "{} from {:?} on", kept.len(), kept.first());
}

#[tokio::test]
async fn only_files_whose_name_is_exactly_ours_are_deleted() {
    let folder = folder("decoys");
    let decoys = [
        "app.log.1",
        "app.2026-11-01.log",
        "app.2026-11-01.1.log",
        "app.2026-11-01.0001.log.bak",
        "app.2026-11-01.0001.log.gz.old",
        "app.2026-11-01T00.0001.log",
        "app.2026-11-31.0001.log",
        "app2.2026-11-01.0001.log",
        "xapp.2026-11-01.0001.log",
        "app.2026-11-01.0001.json",
        "APP.2026-11-01.0001.LOG",
    ];
    decoys.iter().for_each(|name| fs::write(folder.join(name), name).unwrap());
    fs::create_dir(folder.join("app.2026-11-02.0001.log")).unwrap();
    fs::write(folder.join("app.2026-11-02.0001.log/inside"), "x").unwrap();
    let mut expected: BTreeSet<_> = decoys.iter().map(ToString::to_string).collect();
    expected.insert("app.2026-11-02.0001.log".to_owned());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.join("app.log.1"), folder.join("app.2026-11-03.0001.log")).unwrap();
        expected.insert("app.2026-11-03.0001.log".to_owned());
    }
    // These are ours.
    for name in ["app.2026-11-01.0001.log", "app.2026-11-01.0002.log.gz", "app.2026-11-01.0003.log.gz.partial"] {
        fs::write(folder.join(name), "old").unwrap();
    }

    let clock = Clock::at(MIDNIGHT);
    let rolling = Rolling::daily().keep_files(1).keep_bytes(1).keep_age(Duration::from_nanos(1));
    let mut sink = open(&folder, clock.rules(rolling));
    for day in 0..30 {
        clock.set(MIDNIGHT + day * DAY);
        write(&mut sink, [day]).await;
    }
    sink.close().await.unwrap();
    expected.insert("app.2026-12-23.0001.log".to_owned());
    assert_eq!(names(&folder).into_iter().collect::<BTreeSet<_>>(), expected);
    decoys.iter().for_each(|name| assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), *name));
    assert_eq!(fs::read_to_string(folder.join("app.2026-12-23.0001.log")).unwrap(), "29\n", "the current one stays");
}

#[tokio::test]
async fn without_limits_everything_stays() {
    let folder = folder("everything");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    for day in 0..400 {
        clock.set(MIDNIGHT + day * DAY);
        write(&mut sink, [day]).await;
    }
    sink.close().await.unwrap();
    assert_eq!(names(&folder).len(), 400);
}

#[tokio::test]
async fn runs_in_which_nothing_is_logged_delete_no_line_and_leave_no_file() {
    for (name, rolling) in [
        ("silent", Rolling::minutely().keep_files(2)),
        ("silent-bytes", Rolling::minutely().max_bytes(100).keep_bytes(201)),
        #[cfg(feature = "gzip")]
        ("silent-gzip", Rolling::minutely().keep_files(2).gzip()),
    ] {
        let folder = folder(name);
        let clock = Clock::at(MIDNIGHT);
        for minute in 0..12 {
            clock.set(MIDNIGHT + minute * MINUTE);
            let mut sink = open(&folder, clock.rules(rolling.clone()));
            if minute == 0 {
                write(&mut sink, ["the only line"]).await;
            }
            sink.close().await.unwrap();
        }
        assert_eq!(all_lines(&folder), ["the only line"]);
        assert_eq!(names(&folder).len(), 1, "{:?}", names(&folder));
        #[cfg(unix)]
        assert_eq!(
            fs::read(folder.join("app.log")).is_ok(),
            !name.ends_with("gzip"),
            "it leads to a file that can be read"
        );
    }
}

#[tokio::test]
async fn empty_files_of_processes_that_were_killed_do_not_count_and_go() {
    let folder = folder("empty-left");
    let clock = Clock::at(MIDNIGHT);
    for seq in 1..=4 {
        fs::write(folder.join(format!("app.2026-11-01.{seq:04}.log")), if seq == 1 { "line\n" } else { "" }).unwrap();
    }
    let mut sink = open(&folder, clock.rules(Rolling::daily().keep_files(2)));
    write(&mut sink, ["another"]).await;
    sink.close().await.unwrap();
    assert_eq!(names(&folder), ["app.2026-11-01.0001.log", "app.2026-11-24.0001.log"]);
}
