//! A sink's thread or a service thread: gives names without replacing what is not ours.

use std::io;
use std::path::Path;

/// Makes `link` a symbolic link to `target`, which is a name in the same directory; without a target, removes it. Who
/// opens it meanwhile finds the old target or the new one.
///
/// `is_ours` tells by its target whether a link may be replaced. Anything else at the path is left unchanged, which is an
/// error; on Linux with glibc even if it gets there in the last moment.
#[cfg(unix)]
pub(crate) fn point_symlink(link: &Path, target: Option<&str>, is_ours: impl Fn(&str) -> bool) -> io::Result<()> {
    use std::fs;
    use std::os::unix::fs::symlink;

    let ours = |path: &Path| fs::read_link(path).is_ok_and(|to| to.to_str().is_some_and(&is_ours));
    let Some(target) = target else {
        return if ours(link) { fs::remove_file(link) } else { Ok(()) };
    };
    // One name for all: what a killed process left behind is deleted by the next one.
    let name = link.file_name().unwrap_or_default().to_string_lossy();
    let new = link.with_file_name(format!(".{name}.link"));
    if ours(&new) {
        fs::remove_file(&new).unwrap_or_default();
    }
    match symlink(target, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    if fs::read_link(link).is_ok_and(|to| to.as_os_str() == target) {
        return Ok(());
    }
    let foreign =
        || io::Error::new(io::ErrorKind::AlreadyExists, "path exists and is not a link of this sink; left unchanged");
    if !ours(link) {
        return Err(foreign());
    }
    match symlink(target, &new) {
        // Another process is doing the same; its file is as new.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && ours(&new) => return Ok(()),
        made => made?,
    }
    let replaced = match exchange(&new, link) {
        // Another process has deleted the new link, to make its own.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        replaced => replaced,
    };
    let is_foreign = replaced.is_ok() && fs::symlink_metadata(&new).is_ok() && !ours(&new);
    let replaced = if is_foreign { exchange(&new, link).and(Err(foreign())) } else { replaced };
    if ours(&new) {
        fs::remove_file(&new).unwrap_or_default();
    }
    replaced
}

#[cfg(not(unix))]
pub(crate) fn point_symlink(_: &Path, _: Option<&str>, _: impl Fn(&str) -> bool) -> io::Result<()> {
    Ok(())
}

/// Renames a file, unless there is one of the new name.
pub(crate) fn rename_new(old: &Path, new: &Path) -> io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    {
        use nix::errno::Errno;
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        match renameat2(AT_FDCWD, old, AT_FDCWD, new, RenameFlags::RENAME_NOREPLACE) {
            // The file system does not have this.
            Err(Errno::EINVAL | Errno::ENOSYS) => {}
            renamed => return renamed.map_err(io::Error::from),
        }
    }
    std::fs::hard_link(old, new)?;
    std::fs::remove_file(old)
}

/// Gives each of two files the other's name, if the system can; else replaces the second one.
#[cfg(unix)]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        if renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).is_ok() {
            return Ok(());
        }
    }
    std::fs::rename(one, other)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn dir(test: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("logweir-{test}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        dir
    }

    #[test]
    fn a_file_is_renamed_unless_there_is_another_one() {
        let dir = dir("rename");
        let (one, other) = (dir.join("one"), dir.join("other"));
        fs::write(&one, "1").unwrap();
        rename_new(&one, &other).unwrap();
        fs::write(&one, "2").unwrap();
        assert_eq!(rename_new(&one, &other).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&other).unwrap(), "1");
        assert_eq!(fs::read_to_string(&one).unwrap(), "2");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_link_of_ours_is_replaced_and_nothing_else_is() {
        let dir = dir("symlink");
        let link = dir.join("app.log");
        let point = |target: &str| point_symlink(&link, Some(target), |name| name.starts_with("app.2"));
        for target in ["app.2a", "app.2b", "app.2b"] {
            point(target).unwrap();
            assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(target));
        }
        // Left behind by a kill.
        symlink("app.2x", dir.join(".app.log.link")).unwrap();
        point("app.2c").unwrap();
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("app.2c"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        point_symlink(&link, None, |name| name.starts_with("app.2")).unwrap();

        symlink("other", &link).unwrap();
        assert_eq!(point("app.2d").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        point_symlink(&link, None, |name| name.starts_with("app.2")).unwrap();
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("other"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    #[test]
    fn a_file_that_takes_the_links_place_in_the_last_moment_stays() {
        let dir = dir("symlink-race");
        let link = dir.join("app.log");
        symlink("app.2a", &link).unwrap();
        // The second question about the link is the last one before it is replaced.
        let put = |name: &str| {
            if name == "app.2a" {
                fs::remove_file(&link).unwrap();
                fs::write(&link, "precious").unwrap();
            }
            true
        };
        assert_eq!(point_symlink(&link, Some("app.2b"), put).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
