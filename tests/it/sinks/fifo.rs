//! A FIFO as the path of a file sink.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use logweir::Sink;
use logweir::sink::{FileSink, SinkErrorKind};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Plain, batch, folder};
use crate::support::PATIENCE;

const UNREAD: &str = "this is not read";

/// A reader of a FIFO, which gets lines until it is dropped.
fn reader(path: &Path) -> BufReader<File> {
    // Opened for both ends, it does not wait; it is a reader all the same.
    BufReader::new(OpenOptions::new().read(true).write(true).open(path).unwrap())
}

/// The next line that is meant to be read: the others may be in the pipe still.
fn read(reader: &mut BufReader<File>) -> String {
    let mut lines = reader.lines().map(Result::unwrap);
    lines.find(|line| line != UNREAD).unwrap()
}

/// Returns when writes fail: a child that another test just forks has all descriptors until it runs its program.
async fn no_reader_left(sink: &mut FileSink) {
    let since = Instant::now();
    while sink.write(&batch([UNREAD])).await.is_ok() {
        assert!(since.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn a_reader_that_returns_gets_the_lines_again() {
    let path = folder("fifo").join("pipe");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut sink = FileSink::new(&path).format(Plain);
    // The sink waits for a reader at its start.
    let (opened, is_open) = mpsc::channel();
    let first = {
        let path = path.clone();
        thread::spawn(move || {
            let reader = File::open(path).unwrap();
            is_open.recv().unwrap();
            let mut line = [0; 4];
            (&reader).read_exact(&mut line).unwrap();
            assert_eq!(line, *b"one\n");
        })
    };
    sink.open().unwrap();
    opened.send(()).unwrap();
    sink.write(&batch(["one"])).await.unwrap();
    first.join().unwrap();
    no_reader_left(&mut sink).await;
    for _ in 0..3 {
        let error = sink.write(&batch([UNREAD])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Permanent, 0));
    }
    // Nor does a reopening wait.
    sink.reopen().await.unwrap_err();

    let mut returned = reader(&path);
    sink.write(&batch(["two"])).await.unwrap();
    assert_eq!(read(&mut returned), "two");
    // A full pipe is waited for, as before.
    let long = "x".repeat(1 << 20);
    let reading = thread::spawn(move || read(&mut returned));
    sink.write(&batch([&long])).await.unwrap();
    assert_eq!(reading.join().unwrap(), long);
    sink.close().await.unwrap();
}

#[tokio::test]
async fn a_reopening_finds_the_reader_that_has_returned() {
    let path = folder("fifo-reopen").join("pipe");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut first = reader(&path);
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    sink.write(&batch(["one"])).await.unwrap();
    assert_eq!(read(&mut first), "one");
    drop(first);
    no_reader_left(&mut sink).await;
    sink.reopen().await.unwrap_err();
    let mut second = reader(&path);
    sink.reopen().await.unwrap();
    sink.write(&batch(["two"])).await.unwrap();
    assert_eq!(read(&mut second), "two");
}
