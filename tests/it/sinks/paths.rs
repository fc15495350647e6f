//! Which paths a file sink takes, and whose they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use logweir::sink::{FileSink, Rolling};
use logweir::{Logger, Pipeline, Sink};

use super::{Plain, batch, folder};
use crate::children::{FILE, ROLE, Running, child_of};
use crate::support::builder;

#[tokio::test]
async fn the_child() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(FILE)) else { return };
    let path = Path::new(&path);
    match role.as_str() {
        "moves" => {
            std::env::set_current_dir(path).unwrap();
            let mut plain = FileSink::new("plain.log").format(Plain);
            let mut rolled = FileSink::new("logs/app.log").format(Plain).rolling(Rolling::by_size(4).keep_files(2));
            plain.open().unwrap();
            rolled.open().unwrap();
            std::env::set_current_dir(path.join("elsewhere")).unwrap();
            for line in ["a", "b", "c", "d", "e"] {
                plain.write(&batch([line])).await.unwrap();
                rolled.write(&batch([line])).await.unwrap();
                plain.reopen().await.unwrap();
                rolled.reopen().await.unwrap();
            }
            plain.close().await.unwrap();
            rolled.close().await.unwrap();
        }
        "appends" => {
            let mut sink = FileSink::new(path).format(Plain);
            sink.open().unwrap();
            for line in 0..300 {
                sink.write(&batch([&format!("a line of some length, so that a write takes its time: {line}")]))
                    .await
                    .unwrap();
            }
        }
        role => panic!("no such role: {role}"),
    }
    std::process::exit(0);
}

#[test]
fn a_relative_path_is_where_it_was_at_the_start_wherever_the_process_goes() {
    let folder = folder("moves");
    fs::create_dir_all(folder.join("elsewhere/logs")).unwrap();
    let foreign = folder.join("elsewhere/logs/app.2020-01-01.0001.log");
    fs::write(&foreign, "of another instance").unwrap();
    let (status, stderr) = Running::start(child_of("sinks::paths::the_child", "moves").env(FILE, &folder)).ends();
    assert!(status.success(), "{status}: {stderr}");
    assert_eq!(fs::read_to_string(folder.join("plain.log")).unwrap(), "a\nb\nc\nd\ne\n");
    assert_eq!(fs::read_to_string(folder.join("logs/app.log")).unwrap(), "e\n");
    let elsewhere: Vec<_> = fs::read_dir(folder.join("elsewhere/logs")).unwrap().collect();
    assert_eq!(elsewhere.len(), 1);
    assert!(foreign.exists());
}

fn refused(sinks: impl IntoIterator<Item = (&'static str, FileSink)>) -> String {
    let builder = sinks.into_iter().fold(builder(), |builder, (name, sink)| builder.sink(name, sink));
    format!("{:?}", builder.start().unwrap_err())
}

#[test]
fn a_rolling_path_that_is_no_plain_file_is_an_error() {
    let folder = folder("rolling-paths");
    for name in ["app.gz", "app.log.GZ", "logs/"] {
        let path = PathBuf::from(format!("{}/{name}", folder.display()));
        let said = refused([("file", FileSink::new(&path).rolling(Rolling::daily()))]);
        assert!(said.contains(&format!("`path` is `{}`; allowed is", path.display())), "{said}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn two_sinks_of_a_logger_have_no_file_in_common() {
    let folder = folder("common");
    let daily = |name: &str| FileSink::new(folder.join(name)).rolling(Rolling::daily());
    let plain = |name: &str| FileSink::new(folder.join(name));
    let same = "another sink of this logger writes to the same file";
    let names = "the files of another sink of this logger have the same names";
    for (one, other, said) in [
        (plain("a.log"), plain("a.log"), same),
        (plain("a.log"), plain("./a.log"), same),
        (plain("a.log"), daily("a.log"), same),
        (daily("a.log"), daily("a.log"), names),
        (daily("a.log"), plain("a.log"), names),
        (daily("a.log"), plain("a.2026-11-24.0001.log"), names),
        (
            daily("a.log"),
            FileSink::new(folder.join("b.log")).rolling(Rolling::daily().file_name("a.{date}.{seq}.log")),
            names,
        ),
    ] {
        let error = refused([("one", one), ("other", other)]);
        assert!(error.contains("sink `other`: cannot open log file `") && error.contains(said), "{error}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&folder, folder.join("link")).unwrap();
        let error = refused([("one", plain("new/a.log")), ("other", plain("link/new/a.log"))]);
        assert!(error.contains(same), "{error}");
        let error = refused([("one", plain("new/../new/b.log")), ("other", plain("new/b.log"))]);
        assert!(error.contains(same), "{error}");
        fs::write(folder.join("c.log"), "").unwrap();
        std::os::unix::fs::symlink("c.log", folder.join("d.log")).unwrap();
        fs::hard_link(folder.join("c.log"), folder.join("e.log")).unwrap();
        for other in ["d.log", "e.log"] {
            let error = refused([("one", plain("c.log")), ("other", plain(other))]);
            assert!(error.contains(same), "{error}");
        }
        let fallback = Pipeline::new(plain("a.log")).fallback(Pipeline::new(plain("a.log")));
        let error = format!("{:?}", builder().sink("file", fallback).start().unwrap_err());
        assert!(error.contains("sink `file/1`"), "{error}");
    }
    // Two loggers may: that is what a deployment does. So may devices.
    let loggers = [(); 2].map(|()| builder().sink("file", daily("a.log")).start().unwrap());
    loggers.iter().for_each(|logger| drop(logger.shutdown_blocking(crate::support::PATIENCE)));
    #[cfg(unix)]
    {
        let null = || FileSink::new("/dev/null");
        let logger = Logger::builder().sink("one", null()).sink("other", null()).start().unwrap();
        logger.shutdown_blocking(crate::support::PATIENCE).unwrap().check().unwrap();
    }
}

#[test]
fn a_file_that_is_opened_beside_a_busy_writer_gets_no_blank_line() {
    let path = folder("busy").join("app.log");
    let start = || Running::start(child_of("sinks::paths::the_child", "appends").env(FILE, &path));
    let mut running: Vec<_> = (0..3).map(|_| start()).collect();
    let opening = thread::spawn({
        let path = path.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for number in 0..300 {
                let mut sink = FileSink::new(&path).format(Plain);
                sink.open().unwrap();
                runtime.block_on(sink.write(&batch([&format!("opened {number}")]))).unwrap();
                runtime.block_on(sink.close()).unwrap();
            }
        }
    });
    for child in &mut running {
        let (status, stderr) = child.ends();
        assert!(status.success(), "{status}: {stderr}");
    }
    opening.join().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 4 * 300);
    assert!(text.lines().all(|line| line.starts_with("opened ") || line.starts_with("a line of")));
}

#[tokio::test]
async fn a_torn_line_is_ended_by_who_has_the_file_for_himself() {
    let path = folder("torn-shared").join("app.log");
    let open = || {
        let mut sink = FileSink::new(&path).format(Plain);
        sink.open().unwrap();
        sink
    };
    let mut first = open();
    first.write(&batch(["one"])).await.unwrap();
    // Another process is in the middle of a write.
    fs::write(&path, "one\nto").unwrap();
    let mut second = open();
    second.write(&batch(["two"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntotwo\n", "it is not touched");
    fs::write(&path, "one\nto").unwrap();
    first.close().await.unwrap();
    second.close().await.unwrap();
    let mut third = open();
    third.write(&batch(["three"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\nto\nthree\n");
}
