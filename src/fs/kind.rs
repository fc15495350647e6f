//! The caller's thread, once: what kind of file system a directory is on.

use std::io;
use std::path::Path;

/// The part of a file system that its locks and synchronizations depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "not every system tells")]
pub(crate) enum FsKind {
    /// A disk's, or one that the system does not tell from it.
    Local,
    /// That of a container, which ends with it.
    Overlay,
    /// Another machine's, by its name.
    Network(&'static str),
}

/// Returns the kind of file system of this directory.
#[cfg(all(any(target_os = "linux", target_os = "android"), target_pointer_width = "64"))]
pub(crate) fn kind_of(dir: &Path) -> io::Result<FsKind> {
    use nix::sys::statfs::{FsType, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};

    // Those of Linux's `magic.h` and of its clients `cifs` and `smb2`.
    const CIFS: FsType = FsType(0xff53_4d42);
    const SMB2: FsType = FsType(0xfe53_4d42);
    Ok(match statfs(dir)?.filesystem_type() {
        NFS_SUPER_MAGIC => FsKind::Network("NFS"),
        SMB_SUPER_MAGIC | CIFS | SMB2 => FsKind::Network("SMB"),
        OVERLAYFS_SUPER_MAGIC => FsKind::Overlay,
        _ => FsKind::Local,
    })
}

#[cfg(target_os = "macos")]
pub(crate) fn kind_of(dir: &Path) -> io::Result<FsKind> {
    Ok(match nix::sys::statfs::statfs(dir)?.filesystem_type_name() {
        "nfs" => FsKind::Network("NFS"),
        "smbfs" => FsKind::Network("SMB"),
        _ => FsKind::Local,
    })
}

#[cfg(not(any(
    target_os = "macos",
    all(any(target_os = "linux", target_os = "android"), target_pointer_width = "64")
)))]
pub(crate) fn kind_of(_: &Path) -> io::Result<FsKind> {
    Ok(FsKind::Local)
}
