//! Several sinks on the same files, as two processes have them during a deployment.

use logweir::Sink;
use logweir::sink::{FileSink, Rolling};

use super::{Clock, DAY, MIDNIGHT, PATIENCE, all_lines, folder, lines, names, open, write};
use crate::children::{FILE, Plain, ROLE, Running, child_of};

#[tokio::test]
async fn two_sinks_of_one_path_have_a_file_each_and_begin_the_next_behind_the_newest() {
    let folder = folder("two");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::daily());
    let (mut old, mut new) = (open(&folder, rules()), open(&folder, rules()));
    write(&mut old, ["old 1"]).await;
    write(&mut new, ["new 1"]).await;
    write(&mut old, ["old 2"]).await;
    clock.advance(DAY);
    write(&mut new, ["new 2"]).await;
    write(&mut old, ["old 3"]).await;
    let expected: [(&str, &[&str]); 4] = [
        ("app.2026-11-24.0001.log", &["old 1", "old 2"]),
        ("app.2026-11-24.0002.log", &["new 1"]),
        ("app.2026-11-25.0001.log", &["new 2"]),
        ("app.2026-11-25.0002.log", &["old 3"]),
    ];
    let expected = expected.map(|(name, lines)| (name.to_owned(), lines.iter().map(ToString::to_string).collect()));
    assert_eq!(lines(&folder), expected.into());
}

#[tokio::test]
async fn a_line_that_another_one_left_torn_in_the_newest_file_is_ended_when_the_next_is_begun() {
    let folder = folder("torn-by-another");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["one"]).await;
    clock.advance(DAY);
    std::fs::write(folder.join("app.2026-11-25.0001.log"), "whole\nto").unwrap();
    write(&mut sink, ["two", "three"]).await;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("app.2026-11-25.0001.log"), "whole\nto\n");
    assert_eq!(read("app.2026-11-25.0002.log"), "two\nthree\n");
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
    let rules = || clock.rules(Rolling::daily().keep_files(10));
    let (mut one, mut other) = (open(&folder, rules()), open(&folder, rules()));
    clock.advance(DAY);
    write(&mut one, ["one"]).await;
    one.close().await.unwrap();
    assert_eq!(names(&folder), ["app.2026-11-24.0002.log", "app.2026-11-25.0001.log"], "the first is the other's");
    write(&mut other, ["other"]).await;
    assert_eq!(names(&folder), ["app.2026-11-25.0001.log", "app.2026-11-25.0002.log"]);
    assert_eq!(all_lines(&folder), ["one", "other"]);
}

#[tokio::test]
async fn what_another_one_writes_to_is_not_deleted_and_neither_is_what_is_newer() {
    let folder = folder("held-old");
    let clock = Clock::at(MIDNIGHT);
    let (mut old, mut new) = (
        open(&folder, clock.rules(Rolling::by_size(4))),
        open(&folder, clock.rules(Rolling::by_size(4).keep_files(1))),
    );
    write(&mut old, ["o1"]).await;
    write(&mut new, ["n1", "n2", "n3"]).await;
    new.close().await.unwrap();
    assert_eq!(all_lines(&folder), ["o1", "n1", "n2", "n3"]);
    old.close().await.unwrap();
    write(&mut new, ["n4"]).await;
    new.close().await.unwrap();
    assert_eq!(all_lines(&folder), ["n4"]);
}

#[tokio::test]
async fn the_last_words_of_one_that_drains_outlast_what_was_written_before_them() {
    let folder = folder("last-words");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::by_size(200).keep_files(3));
    let (mut old, mut new) = (open(&folder, rules()), open(&folder, rules()));
    let mut written = vec!["first".to_owned()];
    write(&mut old, written.last()).await;
    for line in 0..30 {
        written.push(format!("of the new one, with the number {line}"));
        write(&mut new, written.last()).await;
    }
    written.push("last words".to_owned());
    write(&mut old, written.last()).await;
    old.close().await.unwrap();
    for line in 30..100 {
        written.push(format!("of the new one, with the number {line}"));
        write(&mut new, written.last()).await;
        new.flush().await.unwrap();
        new.close().await.unwrap();
        // In the order of time: what is kept is the end of it.
        let mut kept = all_lines(&folder);
        kept.sort_by_key(|kept| written.iter().position(|line| line == kept));
        assert!(written.ends_with(&kept), "no line goes while an older one stays: {kept:?}");
    }
    assert_eq!(names(&folder).len(), 3);
}

#[tokio::test]
async fn a_name_that_is_free_again_is_not_taken_while_there_is_a_newer_one() {
    let folder = folder("free-again");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::by_size(4));
    let (mut old, mut new) = (open(&folder, rules()), open(&folder, rules()));
    write(&mut old, ["o1"]).await;
    write(&mut new, ["n1", "n2", "n3"]).await;
    std::fs::remove_file(folder.join("app.2026-11-24.0002.log")).unwrap();
    write(&mut old, ["o2"]).await;
    assert_eq!(all_lines(&folder), ["o1", "n2", "n3", "o2"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_reopening_leaves_the_link_at_the_file_that_was_begun_last() {
    let folder = folder("link-last");
    let clock = Clock::at(MIDNIGHT);
    let mut old = open(&folder, clock.rules(Rolling::daily()));
    let mut new = open(&folder, clock.rules(Rolling::daily()));
    write(&mut old, ["old"]).await;
    write(&mut new, ["new"]).await;
    old.reopen().await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("app.log")).unwrap(), "new\n");
}

#[tokio::test]
async fn a_file_stays_as_long_as_an_older_line_in_one_that_is_held() {
    let folder = folder("held-newer");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::by_size(24).keep_files(2));
    let mut busy = open(&folder, rules());
    write(&mut busy, ["first"]).await;
    let mut idle = open(&folder, clock.rules(Rolling::by_size(24)));
    write(&mut idle, ["second"]).await;
    // Newer than the idle one's line, in an older file.
    write(&mut busy, ["third"]).await;
    for line in 0..20 {
        write(&mut busy, [format!("number {line:08}")]).await;
    }
    busy.close().await.unwrap();
    let kept = all_lines(&folder);
    assert!(["first", "second", "third"].iter().all(|line| kept.iter().any(|kept| kept == line)), "{kept:?}");
    idle.close().await.unwrap();
    write(&mut busy, ["another"]).await;
    busy.close().await.unwrap();
    assert_eq!(names(&folder).len(), 2);
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
    let since = std::time::Instant::now();
    while !names(&folder)[0].ends_with(".gz") {
        assert!(since.elapsed() < PATIENCE, "{:?}", names(&folder));
        new.close().await.unwrap();
    }
    assert_eq!(all_lines(&folder), ["old 1", "new", "new again"]);
}

const SIZE: u64 = 2000;
const OF_EACH: usize = 5000;

/// Writes its lines in many small batches, as fast as they go.
#[tokio::test]
async fn the_child() {
    let (Some(role), Some(path)) = (std::env::var(ROLE).ok(), std::env::var_os(FILE)) else { return };
    let rolling = Rolling::by_size(SIZE).close_timeout(PATIENCE);
    #[cfg(feature = "gzip")]
    let rolling = rolling.gzip();
    let mut sink = FileSink::new(path).format(Plain).rolling(rolling);
    sink.open().unwrap();
    for line in 0..OF_EACH {
        write(&mut sink, [format!("{role} {line}")]).await;
    }
    sink.close().await.unwrap();
    std::process::exit(0);
}

#[test]
fn processes_that_share_files_lose_and_repeat_no_line() {
    let folder = folder("processes");
    let roles = ["a", "b", "c"];
    let start = |role: &&str| {
        let mut child = child_of("rolling::shared::the_child", role);
        Running::start(child.env(FILE, folder.join("app.log")))
    };
    let mut running: Vec<_> = roles.iter().map(start).collect();
    for child in &mut running {
        let (status, stderr) = child.ends();
        assert!(status.success(), "{status}: {stderr}");
    }
    let seen = all_lines(&folder);
    assert_eq!(seen.len(), roles.len() * OF_EACH);
    for role in roles {
        let own = seen.iter().filter_map(|line| line.strip_prefix(role)?.strip_prefix(' '));
        assert!(own.map(|line| line.parse::<usize>().unwrap()).eq(0..OF_EACH), "{role}: all, once, in order");
    }
}
