//! Several sinks on the same files, as two processes have them during a deployment.

use logweir::Sink;
use logweir::sink::Rolling;

use super::{Clock, DAY, MIDNIGHT, all_lines, folder, lines, names, open, write};

#[tokio::test]
async fn two_sinks_share_a_file_and_follow_each_other_into_the_next() {
    let folder = folder("two");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::daily());
    let (mut old, mut new) = (open(&folder, rules()), open(&folder, rules()));
    write(&mut old, ["old 1"]).await;
    write(&mut new, ["new 1"]).await;
    clock.advance(DAY);
    write(&mut new, ["new 2"]).await;
    write(&mut old, ["old 2"]).await;
    let expected: [(&str, &[&str]); 2] =
        [("app.2026-11-24.0001.log", &["old 1", "new 1"]), ("app.2026-11-25.0001.log", &["new 2", "old 2"])];
    let expected = expected.map(|(name, lines)| (name.to_owned(), lines.iter().map(ToString::to_string).collect()));
    assert_eq!(lines(&folder), expected.into());
}

#[tokio::test]
async fn what_another_one_has_written_counts_for_the_size() {
    let folder = folder("size-of-both");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::by_size(6));
    let (mut one, mut other) = (open(&folder, rules()), open(&folder, rules()));
    for line in 0..4 {
        write(&mut one, [2 * line]).await;
        write(&mut other, [2 * line + 1]).await;
    }
    assert_eq!(all_lines(&folder), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(lines(&folder).values().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2]);
}

#[tokio::test]
async fn a_line_that_another_one_left_torn_in_the_next_file_is_ended_before_the_first_of_ours() {
    let folder = folder("torn-by-another");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["one"]).await;
    clock.advance(DAY);
    std::fs::write(folder.join("app.2026-11-25.0001.log"), "whole\nto").unwrap();
    write(&mut sink, ["two", "three"]).await;
    assert_eq!(all_lines(&folder), ["one", "whole", "to", "two", "three"]);
}

#[tokio::test]
async fn many_sinks_that_roll_by_size_lose_and_repeat_no_line() {
    const SINKS: usize = 4;
    const LINES: usize = 300;
    let folder = folder("many");
    let clock = Clock::at(MIDNIGHT);
    let writers = (0..SINKS).map(|number| {
        let mut sink = open(&folder, clock.rules(Rolling::by_size(200)));
        async move {
            for line in 0..LINES {
                write(&mut sink, [format!("{number} {line}")]).await;
                tokio::task::yield_now().await;
            }
            sink.close().await.unwrap();
        }
    });
    futures::future::join_all(writers).await;
    let mut seen = all_lines(&folder);
    for number in 0..SINKS {
        let own = seen.iter().filter_map(|line| line.strip_prefix(&format!("{number} ")));
        assert!(own.map(|line| line.parse::<usize>().unwrap()).eq(0..LINES), "sink {number}: all, once, in order");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), SINKS * LINES);
}

#[tokio::test]
async fn a_file_that_another_one_has_open_and_nothing_was_written_to_stays_for_it() {
    let folder = folder("held-empty");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::daily());
    let (mut one, mut other) = (open(&folder, rules()), open(&folder, rules()));
    clock.advance(DAY);
    write(&mut one, ["one"]).await;
    assert_eq!(names(&folder).len(), 2, "it is not the only one");
    write(&mut other, ["other"]).await;
    assert_eq!(names(&folder), ["app.2026-11-25.0001.log"]);
    assert_eq!(all_lines(&folder), ["one", "other"]);
}

#[cfg(feature = "gzip")]
#[tokio::test]
async fn what_another_one_writes_to_is_not_compressed() {
    let folder = folder("held");
    let clock = Clock::at(MIDNIGHT);
    let (mut old, mut new) =
        (open(&folder, clock.rules(Rolling::daily())), open(&folder, clock.rules(Rolling::daily().gzip())));
    write(&mut old, ["old 1"]).await;
    clock.advance(DAY);
    write(&mut new, ["new"]).await;
    new.close().await.unwrap();
    assert_eq!(names(&folder), ["app.2026-11-24.0001.log", "app.2026-11-25.0001.log"]);
    drop(old);
    clock.advance(DAY);
    write(&mut new, ["new again"]).await;
    // The thread of the sink that was dropped closes its file in its own time.
    loop {
        new.close().await.unwrap();
        if names(&folder)[0].ends_with(".gz") {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(all_lines(&folder), ["old 1", "new", "new again"]);
}
