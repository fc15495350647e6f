//! Who may read the files: modes and owners, from file to file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use logweir::sink::{FileSink, Rolling};
use logweir::{Logger, Sink};

use super::{Clock, DAY, MIDNIGHT, folder, names, open, write};
use crate::children::{FILE, Plain, ROLE, Running, child_of};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_file_has_the_mode_of_the_one_before() {
    let folder = folder("mode-kept");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["one"]).await;
    fs::set_permissions(folder.join("app.2026-11-24.0001.log"), Permissions::from_mode(0o600)).unwrap();
    clock.advance(DAY);
    write(&mut sink, ["two"]).await;
    sink.close().await.unwrap();
    clock.advance(DAY);
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    write(&mut sink, ["three"]).await;
    let modes: Vec<_> = names(&folder).iter().map(|name| mode(&folder.join(name))).collect();
    assert_eq!(modes, [0o600; 3]);
}

#[tokio::test]
async fn an_empty_file_of_a_killed_process_hands_its_mode_on_and_the_owner_can_always_write() {
    let folder = folder("mode-of-empty");
    let clock = Clock::at(MIDNIGHT);
    let empty = folder.join("app.2026-11-23.0001.log");
    fs::write(&empty, "").unwrap();
    fs::set_permissions(&empty, Permissions::from_mode(0o600)).unwrap();
    let mut sink = open(&folder, clock.rules(Rolling::daily()));
    let first = folder.join("app.2026-11-24.0001.log");
    assert!(!empty.exists());
    assert_eq!(mode(&first), 0o600);
    write(&mut sink, ["one"]).await;
    fs::set_permissions(&first, Permissions::from_mode(0o440)).unwrap();
    clock.advance(DAY);
    write(&mut sink, ["two"]).await;
    assert_eq!(mode(&folder.join("app.2026-11-25.0001.log")), 0o640);
}

#[tokio::test]
async fn the_mode_that_is_asked_for_is_that_of_every_new_file_whatever_the_mask() {
    let folder = folder("mode");
    let logs = folder.join("made/logs");
    let clock = Clock::at(MIDNIGHT);
    let rolling = clock.rules(Rolling::daily());
    #[cfg(feature = "gzip")]
    let rolling = rolling.gzip();
    let mut sink = FileSink::new(logs.join("app.log")).format(Plain).mode(0o666).rolling(rolling);
    sink.open().unwrap();
    for day in 0..3 {
        clock.set(MIDNIGHT + day * DAY);
        write(&mut sink, [day]).await;
    }
    sink.close().await.unwrap();
    let modes: Vec<_> = names(&logs).iter().map(|name| mode(&logs.join(name))).collect();
    assert_eq!(modes, [0o666; 3]);
    assert_eq!(mode(&folder.join("made")) & 0o700, 0o700);

    let plain = folder.join("private/app.log");
    let mut sink = FileSink::new(&plain).format(Plain).mode(0o640);
    sink.open().unwrap();
    assert_eq!((mode(&plain), mode(plain.parent().unwrap())), (0o640, 0o750));
}

#[test]
fn a_mode_with_which_the_file_could_not_be_written_is_an_error() {
    for wrong in [0o440, 0o200, 0o1640, 0] {
        let sink = FileSink::new(folder("mode-wrong").join("app.log")).mode(wrong);
        let error = format!("{:?}", Logger::builder().sink("file", sink).start().unwrap_err());
        assert!(error.contains(&format!("`mode` is {wrong:#o}; allowed is 0o600 to 0o777")), "{error}");
    }
}

const USER: u32 = 65_534;

/// What a process without privileges does with files that root has left.
#[tokio::test]
async fn the_child() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(FILE)) else { return };
    let path = Path::new(&path);
    let clock = Clock::at(MIDNIGHT);
    match role.as_str() {
        "rolls" => {
            let rolling = clock.rules(Rolling::daily());
            #[cfg(feature = "gzip")]
            let rolling = rolling.gzip();
            let mut sink = FileSink::new(path).format(Plain).rolling(rolling);
            sink.open().unwrap();
            write(&mut sink, ["of another user"]).await;
            clock.advance(DAY);
            write(&mut sink, ["tomorrow"]).await;
            sink.close().await.unwrap();
        }
        "locked out" => {
            let mut sink = FileSink::new(path).format(Plain);
            sink.open().unwrap();
            write(&mut sink, ["before"]).await;
            // By its owner: no user may look into it from now on.
            fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o000)).unwrap();
            for line in 0..3 {
                write(&mut sink, [line]).await;
            }
            assert!(sink.take_error().is_none(), "nothing is wrong with the file");
        }
        role => panic!("no such role: {role}"),
    }
    std::process::exit(0);
}

/// Runs a child without privileges; false if that cannot be had.
fn unprivileged(role: &str, path: &Path) -> bool {
    let child = child_of("rolling::permissions::the_child", role);
    // The binary may be in a directory of root.
    let program = path.with_extension("program");
    fs::copy(child.get_program(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", &USER.to_string(), "--regid", &USER.to_string(), "--clear-groups", "--"]);
    command.arg(&program).args(child.get_args()).env(ROLE, role).env(FILE, path);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    if !nix::unistd::geteuid().is_root() {
        return false;
    }
    let (status, stderr) = Running::start(&mut command).ends();
    assert!(status.success(), "{status}: {stderr}");
    true
}

/// A folder that all users can get to, which those of the target folder need not be.
fn public(test: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("logweir-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    folder
}

#[test]
fn a_process_without_privileges_continues_behind_the_files_of_root() {
    let folder = public("privileges");
    let first = folder.join("app.2026-11-24.0001.log");
    fs::write(&first, "of root\n").unwrap();
    fs::set_permissions(&first, Permissions::from_mode(0o640)).unwrap();
    if unprivileged("rolls", &folder.join("app.log")) {
        assert_eq!(fs::read_to_string(&first).unwrap(), "of root\n");
        let own: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()).collect();
        let own: Vec<_> =
            own.iter().filter(|entry| entry.file_name().to_str().unwrap().starts_with("app.2026")).collect();
        assert_eq!(own.len(), 3);
        for entry in own {
            let metadata = entry.metadata().unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
            assert_eq!(metadata.uid() == USER, entry.path() != first);
        }
    } else {
        println!("skipped: only root can drop its privileges");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_folder_that_may_not_be_looked_into_any_more_is_no_file_that_was_moved_away() {
    let folder = public("locked-out");
    let logs = folder.join("logs");
    fs::create_dir(&logs).unwrap();
    std::os::unix::fs::chown(&logs, Some(USER), Some(USER)).unwrap_or_default();
    let path = logs.join("app.log");
    if unprivileged("locked out", &path) {
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\n0\n1\n2\n");
    } else {
        println!("skipped: root may look into every folder, and only root can drop its privileges");
    }
    fs::remove_dir_all(folder).unwrap();
}
