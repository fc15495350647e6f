//! A FIFO as the path of a file sink.

use std::fs::{File, OpenOptions};
use std::io::Read;
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

/// A reader of a FIFO, which gets lines until it is dropped.
fn reader(path: &Path) -> File {
    // Opened for both ends, it does not wait; it is a reader all the same.
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn read(reader: &mut File, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    reader.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Returns when writes fail: a child that another test just forks has all descriptors until it runs its program.
async fn no_reader_left(sink: &mut FileSink) {
    let since = Instant::now();
    while sink.write(&batch(["this is not read"])).await.is_ok() {
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
        let error = sink.write(&batch(["this is not read"])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Permanent, 0));
    }
    // Nor does a reopening wait.
    sink.reopen().await.unwrap_err();

    let mut returned = reader(&path);
    sink.write(&batch(["two"])).await.unwrap();
    assert_eq!(read(&mut returned, 4), "two\n");
    // A full pipe is waited for, as before.
    let long = "x".repeat(1 << 20);
    let reading = thread::spawn(move || read(&mut returned, (1 << 20) + 1));
    sink.write(&batch([&long])).await.unwrap();
    assert_eq!(reading.join().unwrap(), format!("{long}\n"));
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
    assert_eq!(read(&mut first, 4), "one\n");
    drop(first);
    no_reader_left(&mut sink).await;
    sink.reopen().await.unwrap_err();
    let mut second = reader(&path);
    sink.reopen().await.unwrap();
    sink.write(&batch(["two"])).await.unwrap();
    assert_eq!(read(&mut second, 4), "two\n");
}
