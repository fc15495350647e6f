//! Folders that go, disks that fill up, files that cannot be made.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use logweir::sink::{FileSink, MaintenanceError, MaintenanceTask, OpenError, Rolling, SinkErrorKind};
use logweir::{Logger, Sink};

use super::{Clock, DAY, MIDNIGHT, all_lines, batch, folder, names, open, write};

#[test]
fn a_knob_that_is_wrong_is_named_with_its_value_and_what_is_allowed() {
    let daily = Rolling::daily;
    for (rolling, said) in [
        (Rolling::by_size(0), "`max_bytes` is 0; allowed is 1 or more"),
        (daily().keep_files(0), "`keep_files` is 0; allowed is 1 or more: the current file counts"),
        (daily().keep_age(Duration::ZERO), "`keep_age` is 0; allowed is more than zero"),
        (
            daily().max_bytes(10).keep_bytes(10),
            "`keep_bytes` is 10; allowed is more than 10: the current file has room for its `max_bytes`",
        ),
        (
            daily().file_name("app.{date}.log"),
            "`file_name` is `app.{date}.log`; allowed is a name with `{date}` and `{seq}` once each and no `${NAME}`, that \
             is no path, does not end in `.gz` and does not give the name of the path itself",
        ),
    ] {
        let sink = FileSink::new(folder("wrong").join("app.log")).rolling(rolling);
        let error = Logger::builder().sink("file", sink).start().unwrap_err();
        assert_eq!(format!("{error:?}"), format!("cannot start logger: sink `file`: {said}"));
    }
    #[cfg(feature = "gzip")]
    {
        let sink = FileSink::new(folder("wrong").join("app.log")).rolling(daily().max_bytes(10).keep_bytes(20).gzip());
        let error = Logger::builder().sink("file", sink).start().unwrap_err();
        let error = format!("{error:?}");
        assert!(
            error.contains("`keep_bytes` is 20; allowed is more than 20: the current file and one that waits"),
            "{error}"
        );
    }
    for path in ["..", "/dev/null"] {
        let error = FileSink::new(path).rolling(daily()).open().unwrap_err();
        assert!(
            error.source().unwrap().to_string().starts_with(&format!("`path` is `{path}`; allowed is")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_deleted_is_made_again_and_one_that_cannot_be_is_waited_for() {
    let folder = folder("gone");
    let logs = folder.join("logs");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&logs, clock.rules(Rolling::daily().keep_files(10)));
    write(&mut sink, ["one"]).await;
    fs::remove_dir_all(&logs).unwrap();
    write(&mut sink, ["two"]).await;
    assert_eq!(all_lines(&logs), ["two"]);
    assert_eq!(names(&logs), ["app.2026-11-24.0002.log"], "no name is given twice");

    fs::remove_dir_all(&logs).unwrap();
    fs::write(&logs, "somebody's file").unwrap();
    for _ in 0..2 {
        clock.advance(DAY);
        let error = sink.write(&batch(["three"])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Temporary, 0));
        assert!(error.source().unwrap().is::<OpenError>(), "{error:?}");
    }
    fs::remove_file(&logs).unwrap();
    write(&mut sink, ["three"]).await;
    assert_eq!(all_lines(&logs), ["three"]);
    sink.close().await.unwrap();
}

#[tokio::test]
async fn a_current_file_that_was_moved_or_deleted_is_followed_by_the_next() {
    let folder = folder("moved");
    let mut sink = open(&folder, Clock::at(MIDNIGHT).rules(Rolling::daily()));
    write(&mut sink, ["one"]).await;
    sink.reopen().await.unwrap();
    write(&mut sink, ["two"]).await;
    assert_eq!(names(&folder).len(), 1, "it is where it was: nothing to do");
    fs::rename(folder.join("app.2026-11-24.0001.log"), folder.join("mine")).unwrap();
    sink.reopen().await.unwrap();
    write(&mut sink, ["three"]).await;
    fs::remove_file(folder.join("app.2026-11-24.0002.log")).unwrap();
    write(&mut sink, ["four"]).await;
    assert_eq!(names(&folder), ["app.2026-11-24.0003.log", "mine"]);
    assert_eq!(all_lines(&folder), ["four", "one", "two"]);
}

#[tokio::test]
async fn if_the_next_file_cannot_be_made_the_current_one_goes_on_and_it_is_said_once() {
    let folder = folder("no-next");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["one"]).await;
    let next = folder.join("app.2026-11-25.0001.log");
    fs::create_dir(&next).unwrap();
    clock.advance(DAY);
    write(&mut sink, ["two"]).await;
    let trouble = sink.take_error().unwrap();
    let said = trouble.source().unwrap().downcast_ref::<MaintenanceError>().unwrap();
    assert_eq!((said.task, &said.path), (MaintenanceTask::Roll, &folder.join("app.2026-11-24.0001.log")));
    write(&mut sink, ["three"]).await;
    assert!(sink.take_error().is_none());
    // Another kind of trouble is said too, and neither makes the other news.
    fs::rename(folder.join("app.2026-11-24.0001.log"), folder.join("app.2026-11-24.0001.moved")).unwrap();
    write(&mut sink, ["moved"]).await;
    let trouble = sink.take_error().unwrap();
    assert_eq!(trouble.source().unwrap().downcast_ref::<MaintenanceError>().unwrap().task, MaintenanceTask::Follow);
    write(&mut sink, ["still"]).await;
    assert!(sink.take_error().is_none());
    fs::rename(folder.join("app.2026-11-24.0001.moved"), folder.join("app.2026-11-24.0001.log")).unwrap();
    fs::remove_dir(&next).unwrap();
    write(&mut sink, ["four"]).await;
    assert_eq!(all_lines(&folder), ["one", "two", "three", "moved", "still", "four"]);
    assert_eq!(fs::read_to_string(&next).unwrap(), "four\n");
}

#[tokio::test]
async fn while_no_next_file_can_be_made_a_batch_is_one_try() {
    let folder = folder("no-next-size");
    let looks = Arc::new(AtomicUsize::new(0));
    let clock = {
        let looks = looks.clone();
        move || {
            looks.fetch_add(1, Ordering::Relaxed);
            SystemTime::UNIX_EPOCH + Duration::from_secs(MIDNIGHT)
        }
    };
    let mut sink = open(&folder, Rolling::by_size(4).clock(clock));
    write(&mut sink, ["one"]).await;
    let next = folder.join("app.2026-11-24.0002.log");
    fs::create_dir(&next).unwrap();
    looks.store(0, Ordering::Relaxed);
    write(&mut sink, 0..512).await;
    // Each try looks at the clock.
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    fs::remove_dir(&next).unwrap();
    assert_eq!(all_lines(&folder).len(), 513);
    write(&mut sink, ["x"]).await;
    assert_eq!(fs::read_to_string(&next).unwrap(), "x\n");
}
