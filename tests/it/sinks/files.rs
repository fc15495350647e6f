//! The file sink.

use std::error::Error;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;

use logweir::Sink;
use logweir::sink::SinkErrorKind;
use logweir::sink::{Durability, FileSink, OpenError};

use super::{Plain, batch, drop_unanswered, folder, io_kind};

#[tokio::test]
async fn a_file_is_appended_to_and_its_folders_are_created() {
    let path = folder("append").join("a/b/app.log");
    for round in ["one", "two"] {
        let mut sink = FileSink::new(&path).format(Plain);
        sink.open().unwrap();
        sink.write(&batch([round, "x"])).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(sink.written_bytes(), 6);
        assert!(sink.outlives_timeout());
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\nx\ntwo\nx\n");
}

#[tokio::test]
async fn every_durability_writes_flushes_and_closes() {
    for durability in [Durability::Buffered, Durability::SyncOnFlush, Durability::SyncEveryBatch] {
        let path = folder(&format!("{durability:?}")).join("new/app.log");
        let mut sink = FileSink::new(&path).format(Plain).durability(durability);
        sink.open().unwrap();
        sink.write(&batch(["one"])).await.unwrap();
        // Handed over when `write` returns, under each of them.
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        sink.flush().await.unwrap();
        sink.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_line_torn_by_a_crash_is_ended_before_the_first_event() {
    let path = folder("torn").join("app.log");
    fs::write(&path, "whole\nto").unwrap();
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nto", "nothing is written before the first event");
    sink.write(&batch(["one"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nto\none\n");
    assert_eq!(sink.written_bytes(), 5);
}

#[tokio::test]
async fn after_a_rename_reopen_goes_on_in_a_new_file_at_once_and_the_next_batch_by_itself() {
    let folder = folder("reopen");
    let path = folder.join("app.log");
    let mut sink = FileSink::new(&path).format(Plain).durability(Durability::SyncOnFlush);
    sink.open().unwrap();
    sink.write(&batch(["one"])).await.unwrap();
    fs::rename(&path, folder.join("app.log.1")).unwrap();
    sink.reopen().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    sink.write(&batch(["two"])).await.unwrap();
    fs::rename(&path, folder.join("app.log.2")).unwrap();
    sink.write(&batch(["three"])).await.unwrap();
    // As logrotate does with `create`: something stands at the path, and it is another file.
    fs::rename(&path, folder.join("app.log.3")).unwrap();
    fs::write(&path, "torn").unwrap();
    sink.write(&batch(["four"])).await.unwrap();
    for (name, text) in
        [("app.log.1", "one\n"), ("app.log.2", "two\n"), ("app.log.3", "three\n"), ("app.log", "torn\nfour\n")]
    {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), text, "{name}");
    }
    assert_eq!(sink.written_bytes(), 4 + 4 + 6 + 6);
}

#[tokio::test]
async fn a_file_that_was_moved_goes_on_where_it_is_if_there_can_be_no_other() {
    let folder = folder("reopen_fails");
    let (path, moved) = (folder.join("app.log"), folder.join("app.log.1"));
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    let error = sink.reopen().await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Temporary);
    // Said once, however often it fails.
    sink.write(&batch(["one"])).await.unwrap();
    let trouble = sink.take_error().unwrap();
    assert!(trouble.source().unwrap().to_string().contains("from which the file was moved away"), "{trouble:?}");
    sink.write(&batch(["two"])).await.unwrap();
    assert!(sink.take_error().is_none());
    assert_eq!(fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
    fs::remove_dir(&path).unwrap();
    sink.write(&batch(["three"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
}

#[tokio::test]
async fn nothing_is_written_to_a_file_that_was_deleted() {
    let folder = folder("deleted");
    let path = folder.join("logs/app.log");
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    sink.write(&batch(["one"])).await.unwrap();
    fs::remove_dir_all(folder.join("logs")).unwrap();
    // The folder cannot be made again: something else is called so.
    fs::write(folder.join("logs"), "").unwrap();
    for _ in 0..2 {
        let error = sink.write(&batch(["two"])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Temporary, 0));
        assert_eq!(error.source().unwrap().downcast_ref::<OpenError>().unwrap().path, path);
    }
    fs::remove_file(folder.join("logs")).unwrap();
    sink.write(&batch(["two"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
}

#[test]
fn a_file_that_cannot_be_opened_names_path_and_cause() {
    let folder = folder("cannot_open");
    let error = FileSink::new(&folder).open().unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Permanent);
    let source = error.source().and_then(|source| source.downcast_ref::<OpenError>()).unwrap();
    assert_eq!(source.path, folder);
    assert_eq!(source.to_string(), format!("cannot open log file `{}`", folder.display()));
    assert!(source.source().unwrap().is::<io::Error>());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_temporary() {
    let mut sink = FileSink::new("/dev/full").format(Plain).durability(Durability::SyncEveryBatch);
    sink.open().unwrap();
    for _ in 0..2 {
        let error = sink.write(&batch(["one"])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Temporary, 0));
        assert_eq!(io_kind(&error), Some(io::ErrorKind::StorageFull));
    }
    sink.flush().await.unwrap();
    assert_eq!(sink.written_bytes(), 0);
}

/// A pipe, as a path that opens it again.
#[cfg(target_os = "linux")]
fn fifo() -> (io::PipeReader, io::PipeWriter, PathBuf) {
    use std::os::fd::AsRawFd;

    let (reader, writer) = io::pipe().unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
    (reader, writer, path)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_fifo_whose_reader_left_is_permanent() {
    let (mut reader, writer, path) = fifo();
    let mut sink = FileSink::new(path).format(Plain).durability(Durability::SyncOnFlush);
    sink.open().unwrap();
    drop(writer);
    sink.write(&batch(["one"])).await.unwrap();
    sink.flush().await.unwrap();
    let mut line = [0; 4];
    io::Read::read_exact(&mut reader, &mut line).unwrap();
    assert_eq!(line, *b"one\n");

    drop(reader);
    for _ in 0..2 {
        let error = sink.write(&batch(["two"])).await.unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Permanent, 0));
        assert_eq!(io_kind(&error), Some(io::ErrorKind::BrokenPipe));
    }
    sink.close().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_write_into_a_full_pipe_goes_on_where_it_stopped_when_its_future_was_dropped() {
    let (reader, writer, path) = fifo();
    let mut sink = FileSink::new(path).format(Plain);
    sink.open().unwrap();
    drop(writer);

    // More than a pipe holds: it cannot end before somebody reads.
    let long = "x".repeat(1 << 20);
    drop_unanswered(sink.write(&batch([&long])));
    let reading = thread::spawn(move || io::read_to_string(reader).unwrap());
    sink.write(&batch(["next"])).await.unwrap();
    drop(sink);
    assert_eq!(reading.join().unwrap(), format!("{long}\nnext\n"));
}

#[tokio::test]
async fn a_panic_in_a_format_is_an_error_and_the_thread_goes_on() {
    let path = folder("panic").join("app.log");
    let mut sink = FileSink::new(&path).format(Plain);
    sink.open().unwrap();
    let error = sink.write(&batch(["one", "poison", "three"])).await.unwrap_err();
    assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Panic, 1));
    assert!(error.source().unwrap().to_string().contains("poison"), "{error:?}");
    sink.write(&batch(["three"])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\nthree\n");
}
