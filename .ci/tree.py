"""What the scripts in this folder share: the text files of the working tree and of a commit."""

import io
import os
import subprocess
import sys
import tarfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def git(*arguments):
    """The output of a git command."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def reference(against):
    """The hash of the commit to compare with, or the reason why there is none."""
    command = [os.path.join(ROOT, ".ci/reference")] + (["--against", against] if against else [])
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if found.returncode > 1:
        sys.exit(found.stderr.strip())
    return (found.stdout.strip(), None) if found.returncode == 0 else (None, found.stderr.strip())


def describe(revision):
    """A commit as people read it."""
    return git("log", "-1", "--format=%h %s", revision).decode().strip()


def messages(revision):
    """The lines of all commit messages since a commit."""
    return git("log", "--format=%B", f"{revision}..HEAD").decode(errors="replace").splitlines()


def files_at(revision):
    """Path and text of each text file of a commit."""
    archive = tarfile.open(fileobj=io.BytesIO(git("archive", revision)))
    files = ((member.name, archive.extractfile(member).read()) for member in archive if member.isfile())
    return decoded(files)


def files_here():
    """Path and text of each text file of the working tree that git does not ignore."""
    paths = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
    present = (path for path in sorted(set(paths)) if path and os.path.isfile(os.path.join(ROOT, path)))
    return decoded((path, read(path)) for path in present)


def read(path):
    """The bytes of a file of the working tree."""
    with open(os.path.join(ROOT, path), "rb") as file:
        return file.read()


def decoded(files):
    """Those of the files that are UTF-8."""
    texts = {}
    for path, content in files:
        try:
            texts[path] = content.decode()
        except UnicodeDecodeError:
            continue
    return texts
