"""See readme.sh."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LINES = 1000
MANIFEST = """[package]
name = "readme"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
logweir = {{ path = {root}, features = ["config", "log", "spool", "tracing"] }}
log = "0.4"
tokio = {{ version = "1", features = ["full"] }}
tracing = "0.1"
tracing-subscriber = {{ version = "0.3", features = ["env-filter"] }}
"""
# What the program of the configuration section reads.
CONFIGURATION = '[sinks.file]\ntype = "file"\npath = "logs/app.log"\n'


def fail(text):
    sys.exit(f"FAILED: {text}")


def programs():
    """The blocks of the README that are whole programs, and the line of each."""
    readme = (ROOT / "README.md").read_text()
    for block in re.finditer(r"^```rust[^\n]*\n(.*?)^```", readme, re.S | re.M):
        source = re.sub(r"^# ", "", block[1], flags=re.M)
        if "fn main" in source:
            yield readme[: block.start()].count("\n") + 2, source


def with_calls(source):
    """The program with log calls before its end, or before it shuts down itself."""
    if "tracing_subscriber" in source:
        call = 'tracing::info!("line {number}");'
    elif "install_log" in source:
        call = 'log::info!("line {number}");'
    elif "set_global" in source:
        call = 'logweir::info!("line {number}", number);'
    else:
        call = 'logweir::info!(logger: logger, "line {number}", number);'
    calls = f"for number in 0..{LINES} {{ {call} }}\n"
    before = "let report = " if "let report = " in source else "# logger" if "# logger" in source else "Ok(())"
    if "shutdown_blocking" in source:
        before = "logger.shutdown_blocking"
    at = source.rindex(before)
    return source[:at] + calls + source[at:]


def numbers(text):
    return [int(number) for number in re.findall(r"line (\d+)", text)]


def main():
    target = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT))
    work = pathlib.Path(target["target_directory"]) / "readme"
    shutil.rmtree(work / "src", ignore_errors=True)
    (work / "src/bin").mkdir(parents=True)
    (work / "Cargo.toml").write_text(MANIFEST.format(root=json.dumps(str(ROOT))))
    # The versions that the library is tested with.
    shutil.copy(ROOT / "Cargo.lock", work / "Cargo.lock")
    found = list(programs())
    for line, source in found:
        (work / f"src/bin/line{line}.rs").write_text(with_calls(source))
    environment = dict(os.environ, CARGO_TARGET_DIR=str(work / "target"), CARGO_PROFILE_DEV_DEBUG="0")
    if subprocess.run(["cargo", "build", "--quiet", "--bins"], cwd=work, env=environment).returncode:
        fail("a program of README.md does not build")

    for line, source in found:
        folder = work / f"run/line{line}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "logweir.toml").write_text(CONFIGURATION)
        program = work / f"target/debug/line{line}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGWEIR")}
        environment["RUST_LOG"] = "info"
        ended = subprocess.run([program], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        if ended.returncode or ended.stderr:
            fail(f"README.md:{line}: exit code {ended.returncode}, standard error: {ended.stderr}")
        files = re.findall(r'FileSink::new\("([^"]*)"\)', source) or (["logs/app.log"] if "Config::" in source else [])
        outputs = {path: (folder / path).read_text() for path in files}
        if "ConsoleSink" in source and "set_sink_filter" not in source:
            outputs["standard output"] = ended.stdout
        for name, text in outputs.items():
            if numbers(text) != list(range(LINES)):
                fail(f"README.md:{line}: {name} has {len(numbers(text))} of {LINES} lines, or not in order")
        print(f"README.md:{line}: exit code 0; {LINES} lines in {', '.join(outputs) or 'no sink that keeps them'}")
    if len(found) < 5:
        fail(f"README.md has {len(found)} programs")
    print("PASSED")


if __name__ == "__main__":
    main()
