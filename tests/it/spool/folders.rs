//! What a logger finds in a spool's directory beside what it takes over, and the file systems it does not trust.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use logweir::error::Diagnostic;
use logweir::{Builder, Logger, Spool};

use super::{Folder, Unavailable, end, spooled, start};
use crate::children::{FILE, ROLE, child_of};
use crate::support::{ScriptedSink, emit_numbers};

/// What is reported of spools.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);

impl Reports {
    fn of(&self, builder: Builder<'static>) -> Builder<'static> {
        let reports = self.0.clone();
        builder.on_error(move |diagnostic| {
            if matches!(diagnostic, Diagnostic::SpoolUnclaimed { .. } | Diagnostic::SpoolOnOverlay { .. }) {
                reports.lock().unwrap().push(diagnostic.to_string());
            }
        })
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The folders that processes have below a sink's directory, and their sizes.
fn folders(folder: &Folder, sink: &str) -> Vec<(PathBuf, u64)> {
    let size = |dir: &PathBuf| fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let dirs = fs::read_dir(folder.path().join(sink)).unwrap().map(|dir| dir.unwrap().path());
    dirs.map(|dir| (dir.clone(), size(&dir))).collect()
}

async fn leave(folder: &Folder) {
    let logger = start(spooled(Unavailable, folder.spool()));
    emit_numbers(&logger, 0..10);
    assert_eq!(end(&logger).await.spooled, 10);
}

fn unclaimed_bytes(logger: &Logger) -> Option<f64> {
    let page = logger.render_metrics().unwrap();
    let line = page.lines().find(|line| line.starts_with("logweir_spool_unclaimed_bytes{"))?;
    line.rsplit(' ').next().unwrap().parse().ok()
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn what_no_sink_takes_over_is_reported_with_its_size_and_stays_as_it_is() {
    let folder = Folder::new("unclaimed");
    leave(&folder).await;
    fs::rename(folder.path().join("sink"), folder.path().join("old")).unwrap();
    let later = folder.path().join("sink").join("v2-0000000000000001");
    fs::create_dir_all(&later).unwrap();
    fs::write(later.join("events"), [7; 1000]).unwrap();
    let [(old, bytes)] = folders(&folder, "old").try_into().unwrap();
    let expected = [
        format!(
            "the spool in `{}` is not delivered, {bytes} bytes: no sink has its name; `also` takes it over",
            old.display()
        ),
        format!("the spool in `{}` is not delivered, 1000 bytes: another version has written it", later.display()),
    ];
    for _ in 0..2 {
        let (reports, sink) = (Reports::default(), ScriptedSink::new());
        let builder = spooled(sink.clone(), folder.spool()).prometheus(logweir::Prometheus::without_listener());
        let logger = start(reports.of(builder));
        assert_eq!(unclaimed_bytes(&logger), Some((bytes + 1000) as f64));
        end(&logger).await;
        assert_eq!((reports.all(), sink.seen()), (expected.to_vec(), 0));
    }
    let (reports, sink) = (Reports::default(), ScriptedSink::new());
    let logger = start(reports.of(spooled(sink.clone(), folder.spool().also("old"))));
    assert_eq!(end(&logger).await.delivered, 10);
    assert_eq!(reports.all(), expected[1..]);
}

#[tokio::test]
async fn the_folder_of_a_process_that_runs_is_not_reported_to_another_one() {
    let folder = Folder::new("shared");
    let first = start(spooled(Unavailable, folder.spool()));
    emit_numbers(&first, 0..10);
    let reports = Reports::default();
    let pipeline = logweir::Pipeline::new(ScriptedSink::new()).spool(folder.spool());
    let second = start(reports.of(super::builder().sink("other", pipeline)));
    end(&second).await;
    assert!(reports.all().is_empty(), "{:?}", reports.all());
    assert_eq!(end(&first).await.spooled, 10);
}

/// Starts a logger whose spool is on an overlay file system, and prints what is reported.
#[tokio::test]
async fn the_child() {
    let (Ok(_), Some(dir)) = (std::env::var(ROLE), std::env::var_os(FILE)) else { return };
    let reports = Reports::default();
    let logger = start(reports.of(spooled(ScriptedSink::new(), Spool::new(dir))));
    end(&logger).await;
    reports.all().iter().for_each(|report| println!("reported: {report}"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_spool_that_ends_with_its_container_is_reported() {
    let folder = Folder::new("overlay");
    let dirs = ["lower", "upper", "work", "merged"].map(|name| folder.path().join(name));
    dirs.iter().for_each(|dir| fs::create_dir_all(dir).unwrap());
    let [lower, upper, work, merged] = dirs.map(|dir| dir.display().to_string());
    let child = child_of("spool::folders::the_child", "overlay");
    // In a mount namespace of its own, which ends with it.
    let script = format!(
        "mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={work} {merged} || exit 99; exec \"$0\" \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(child.get_program()).args(child.get_args());
    let output = command.env(ROLE, "overlay").env(FILE, format!("{merged}/spool")).output();
    let output = match output {
        Ok(output) if !matches!(output.status.code(), Some(1 | 99)) => output,
        refused => return println!("SKIPPED: no overlay can be mounted here: {refused:?}"),
    };
    let out = String::from_utf8_lossy(&output.stdout);
    let report = format!(
        "reported: the spool in `{merged}/spool` is on an overlay file system, which ends with its container; use a volume"
    );
    assert!(out.contains(&report), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
}
