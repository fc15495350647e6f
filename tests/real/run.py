#!/usr/bin/env python3
"""Two real programs, changed only where they set logging up: the same events before and after, and no lost line.

    tests/real/run.py [bore] [dufs] [--stops N]

bore-cli 0.6.0 logs through `tracing`, dufs 0.45.0 through `log`. Each is built twice, as published and with its patch of
this folder, below the target folder. Both builds get the same requests; then their events must have the same levels, targets,
messages and fields in the same order, and both must end in the same way. After that the patched build is stopped N times
(default 20) under load: each request that was answered before the stop must be in the log.
"""
import argparse
import collections
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PATIENCE = 30


def fail(text):
    sys.exit(f"FAILED: {text}")


def target_folder():
    metadata = subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT)
    return pathlib.Path(json.loads(metadata)["target_directory"]) / "real"


def sources(work, crate, version):
    """The published source, by way of a package that depends on it."""
    stub = work / f"fetch-{crate}"
    (stub / "src").mkdir(parents=True, exist_ok=True)
    (stub / "src/lib.rs").write_text("")
    (stub / "Cargo.toml").write_text(
        f'[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n\n[workspace]\n\n'
        f'[dependencies]\n{crate} = {{ version = "={version}", default-features = false }}\n'
    )
    subprocess.run(["cargo", "vendor", "--quiet", "vendor"], cwd=stub, check=True, stdout=subprocess.DEVNULL)
    found = [path for path in (stub / "vendor").glob(f"{crate}*") if (path / "Cargo.toml").exists()]
    return next(path for path in found if f'name = "{crate}"' in (path / "Cargo.toml").read_text())


def build(work, crate, version, binary):
    """The program as published and with its patch."""
    published = sources(work, crate, version)
    programs = []
    for kind in ("before", "after"):
        folder = work / f"{crate}-{kind}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(published, folder)
        # The lock file of the published package is as old as the package: both builds get today's versions.
        (folder / "Cargo.lock").unlink(missing_ok=True)
        (folder / ".cargo-checksum.json").unlink(missing_ok=True)
        if kind == "after":
            subprocess.run(["patch", "--quiet", "-p1", "-i", HERE / f"{crate}.patch"], cwd=folder, check=True)
            manifest = folder / "Cargo.toml"
            manifest.write_text(manifest.read_text().replace('path = "../logweir"', f"path = {json.dumps(str(ROOT))}"))
        manifest = folder / "Cargo.toml"
        manifest.write_text(manifest.read_text() + "\n[workspace]\n")
        environment = dict(os.environ, CARGO_TARGET_DIR=str(work / "target"), CARGO_PROFILE_DEV_DEBUG="0")
        command = ["cargo", "build", "--quiet", "--no-default-features", "--bin", binary]
        built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if built.returncode:
            fail(f"{folder.name} does not build:\n{built.stderr}")
        program = work / f"{binary}-{kind}.program"
        shutil.copy(work / "target/debug" / binary, program)
        programs.append(program)
    return programs


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            fail(f"waited {PATIENCE} s for {what}")
        time.sleep(0.02)


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """A running program whose standard output and error go to files."""

    def __init__(self, work, arguments, port):
        self.out, self.err = work / "stdout", work / "stderr"
        environment = dict(os.environ, NO_COLOR="1")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(arguments, stdout=out, stderr=err, env=environment)
        until(f"{arguments[0].name} on port {port}", lambda: self.process.poll() is not None or listens(port))

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            fail("the program did not end")

    def lines(self):
        return self.out.read_text().splitlines()


# bore: tracing ---------------------------------------------------------------------------------------------------------

CONTROL_PORT = 7835
TEXT = re.compile(r"^\S+ +(?P<level>[A-Z]+) (?:(?P<span>\w+)\{(?P<of>[^}]*)\}: )?(?P<target>[\w:]+): (?P<rest>.*)$")
FIELD = re.compile(r" (\w+)=(\"[^\"]*\"|[^=]+?)(?= \w+=|$)")


def messages(client):
    """The server's messages, until it closes the connection."""
    data = b""
    while piece := client.recv(256):
        *whole, data = (data + piece).split(b"\0")
        for message in whole:
            yield json.loads(message)


def bore_client(hello, through_tunnel=False):
    """Sends one message; returns the client's own address and the port of the tunnel, if the server opened one."""
    with socket.create_connection(("127.0.0.1", CONTROL_PORT), PATIENCE) as client:
        address = "%s:%d" % client.getsockname()
        client.sendall(hello + b"\0")
        received = messages(client)
        first = next(received, None)
        tunnel = first["Hello"] if isinstance(first, dict) and "Hello" in first else None
        if tunnel and through_tunnel:
            with socket.create_connection(("127.0.0.1", tunnel), PATIENCE):
                # The server logs the connection before it announces it.
                next(message for message in received if "Connection" in message)
        return address, tunnel


def fmt_event(line):
    """An event of `tracing_subscriber::fmt`: level, target, message, fields."""
    match = TEXT.match(line)
    if not match:
        fail(f"not a line of fmt: {line}")
    message = FIELD.sub("", " " + match["rest"]).strip()
    fields = dict(FIELD.findall(" " + match["rest"]))
    for name, value in FIELD.findall(" " + (match["of"] or "")):
        fields[f"{match['span']}.{name}" if name in fields else name] = value
    return match["level"], match["target"], message, fields


def json_event(line):
    event = json.loads(line)
    own = ("timestamp", "level", "target", "message", "span", "spans")
    fields = {key: value for key, value in event.items() if key not in own}
    return event["level"], event["target"], event.get("message", ""), {key: str(value) for key, value in fields.items()}


def by_connection(events):
    """The events of each connection in their order, without what differs between two runs, and how often each occurs."""
    def plain(value):
        value = value.strip('"')
        value = re.sub(r"^127\.0\.0\.1:\d+$", "ADDRESS", value)
        value = re.sub(r"^[0-9a-f-]{36}$", "ID", value)
        return re.sub(r"^\d{3,5}$", "PORT", value)

    sequences = collections.defaultdict(list)
    for level, target, message, fields in events:
        # Ten seconds after a connection, and so in a slow run only.
        if message == "removed stale connection":
            continue
        key = fields.get("control.addr") or fields.get("addr")
        sequences[key].append((level, target, message, tuple(sorted((name, plain(value)) for name, value in fields.items()))))
    return collections.Counter(tuple(sequence) for sequence in sequences.values())


def bore_server(work, program):
    return Program(work, [program, "server", "--bind-addr", "127.0.0.1"], CONTROL_PORT)


def bore_load():
    for number in range(30):
        bore_client(b'{"Hello":0}', through_tunnel=number % 3 == 0)
        bore_client(b"garbage")
        bore_client(b'{"Authenticate":"x"}')


def bore(work, stops):
    before, after = build(work, "bore-cli", "0.6.0", "bore")
    seen = []
    for program, read in ((before, fmt_event), (after, json_event)):
        server = bore_server(work, program)
        bore_load()
        # Every connection's own last event, that of the probe of `listens` too.
        def have_all_ended():
            lines = server.lines()
            begun = sum("incoming connection" in line for line in lines)
            return begun > 90 and sum("exited" in line for line in lines) >= begun
        until("every connection", have_all_ended)
        code = server.stop()
        if server.err.read_text():
            fail(f"bore wrote to standard error: {server.err.read_text()}")
        # The probe of `listens` is a connection too, at which the server may be interrupted: it is left out by its events.
        seen.append((code, by_connection([read(line) for line in server.lines()])))
    if seen[0][0] != seen[1][0]:
        fail(f"bore ended with {seen[0][0]} and now ends with {seen[1][0]}")
    if seen[0][1] != seen[1][1]:
        fail(f"bore logs other events: no longer {seen[0][1] - seen[1][1]}; now {seen[1][1] - seen[0][1]}")
    print(f"bore: the same {sum(seen[0][1].values())} connections in the log as before, ended by {seen[0][0]} as before")

    answered_in_all = 0
    for number in (signal.SIGINT, signal.SIGTERM) * ((stops + 1) // 2):
        server = bore_server(work, after)
        answered, is_over = [], threading.Event()

        def keep_asking():
            while not is_over.is_set():
                try:
                    address, tunnel = bore_client(b'{"Hello":0}')
                except OSError:
                    return
                if tunnel:
                    answered.append((address, tunnel))

        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        until("clients", lambda: len(answered) >= 50)
        code = server.stop(number)
        is_over.set()
        for thread in threads:
            thread.join()
        if code != -number:
            fail(f"bore ended with {code}, not by signal {number}")
        logged = {(fields["addr"], fields["port"]) for _, _, message, fields in map(json_event, server.lines()) if message == "new client"}
        lost = [pair for pair in answered if (pair[0], str(pair[1])) not in logged]
        if lost:
            fail(f"{len(lost)} of {len(answered)} clients were answered and are not in the log of bore")
        answered_in_all += len(answered)
    print(f"bore: {stops} stops under load, {answered_in_all} clients answered, all of them in the log")


# dufs: log -------------------------------------------------------------------------------------------------------------


def dufs_server(work, program, log_file=None):
    (work / "served").mkdir(exist_ok=True)
    (work / "served/file.txt").write_text("text\n")
    port = free_port()
    arguments = [program, "--bind", "127.0.0.1", "--port", str(port), work / "served"]
    if log_file:
        log_file.unlink(missing_ok=True)
        arguments[1:1] = ["--log-file", log_file]
    return Program(work, arguments, port), port


def get(port, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    client.request("GET", path)
    status = client.getresponse().status
    client.close()
    return status


def dufs_event(line):
    """`<time> <level> - <message>`, as dufs writes it."""
    match = re.match(r"^\S+ ([A-Z]+) - (.*)$", line)
    return match.groups() if match else fail(f"not a line of dufs: {line}")


def dufs_json_event(line):
    event = json.loads(line)
    return event["level"], event["message"]


def is_event(line):
    # What dufs prints beside its log: where it listens.
    return line.startswith("{") or re.match(r"^\S+ [A-Z]+ - ", line)


def dufs(work, stops):
    before, after = build(work, "dufs", "0.45.0", "dufs")
    for to_file in (False, True):
        seen = []
        for program, read in ((before, dufs_event), (after, dufs_json_event)):
            log_file = work / "dufs.log" if to_file else None
            server, port = dufs_server(work, program, log_file)
            for number in range(200):
                get(port, f"/file.txt?{number}")
                get(port, f"/none?{number}")
            code = server.stop()
            lines = log_file.read_text().splitlines() if to_file else server.lines()
            seen.append((code, server.err.read_text(), [read(line) for line in lines if is_event(line)]))
        for what, old, new in zip(("exit code", "standard error"), *seen):
            if old != new:
                fail(f"{what} of dufs was {old!r} and is {new!r}")
        if seen[0][2] != seen[1][2]:
            same = next((at for at, (old, new) in enumerate(zip(seen[0][2], seen[1][2])) if old != new), "all")
            fail(f"dufs logged {len(seen[0][2])} events and now {len(seen[1][2])}; equal at the start: {same}")
        where = "a file" if to_file else "standard output"
        print(f"dufs: the same {len(seen[0][2])} events in {where} as before, exit code {seen[0][0]} as before")

    answered_in_all = 0
    for turn in range(stops):
        log_file = work / "dufs.log" if turn % 2 else None
        server, port = dufs_server(work, after, log_file)
        answered, is_over = [], threading.Event()

        def keep_asking(thread):
            number = 0
            while not is_over.is_set():
                number += 1
                path = f"/file.txt?{thread}-{number}"
                try:
                    if get(port, path) == 200:
                        answered.append(path)
                except (OSError, http.client.HTTPException):
                    return

        threads = [threading.Thread(target=keep_asking, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        until("requests", lambda: len(answered) >= 200)
        code = server.stop()
        is_over.set()
        for thread in threads:
            thread.join()
        if code != 0:
            fail(f"dufs ended with {code}")
        lines = log_file.read_text().splitlines() if log_file else server.lines()
        log = "\n".join(line for line in lines if is_event(line))
        logged = set(re.findall(r"/file\.txt\?\d+-\d+", log))
        lost = [path for path in answered if path not in logged]
        if lost:
            fail(f"{len(lost)} of {len(answered)} requests were answered and are not in the log of dufs")
        answered_in_all += len(answered)
    print(f"dufs: {stops} stops under load, {answered_in_all} requests answered, all of them in the log")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", choices=["bore", "dufs", []], help="default: both")
    parser.add_argument("--stops", type=int, default=20)
    arguments = parser.parse_args()
    work = target_folder()
    work.mkdir(parents=True, exist_ok=True)
    for name in arguments.programs or ["bore", "dufs"]:
        {"bore": bore, "dufs": dufs}[name](work, arguments.stops)
    print("PASSED")


if __name__ == "__main__":
    main()
