"""See audit.sh."""
import collections
import http.client
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KILLS = max(int(os.environ.get("LOGWEIR_TEST_KILLS", "100")) // 10, 1)
CLIENTS = 32
SEED = int(os.environ.get("LOGWEIR_TEST_SEED", "7"))


def fail(text):
    sys.exit(f"FAILED: {text}")


def build():
    command = ["cargo", "build", "--quiet", "--release", "--all-features", "--example", "audit", "--example", "spool"]
    subprocess.run(command, cwd=ROOT, check=True)
    metadata = subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT)
    return pathlib.Path(json.loads(metadata)["target_directory"]) / "release/examples"


class Service:
    """A process of the example, which listens on a port of its own."""

    def __init__(self, programs, work):
        options = ["--listen", "127.0.0.1:0", "--file", work / "audit.json", "--spool", work / "spool"]
        self.process = subprocess.Popen([programs / "audit", *options], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            fail(f"the service prints {line!r}")
        self.port = int(line.rsplit(":", 1)[1])

    def stop(self, how):
        self.process.send_signal(how)
        rest = self.process.stdout.read()
        return self.process.wait(timeout=60), rest


class Load:
    """Clients that pay until the service has ended, and remember what was answered."""

    def __init__(self, port, numbers, answered):
        self.threads = [threading.Thread(target=self.pay, args=(port, numbers, answered)) for _ in range(CLIENTS)]
        self.refused = collections.Counter()
        for thread in self.threads:
            thread.start()

    def pay(self, port, numbers, answered):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while True:
                number = next(numbers)
                connection.request("GET", f"/pay/{number}")
                response = connection.getresponse()
                text = response.read().decode()
                if response.status == 200:
                    answered.add(number)
                else:
                    self.refused[text] += 1
        except (OSError, http.client.HTTPException):
            pass

    def join(self):
        for thread in self.threads:
            thread.join()


def payments(path):
    """The numbers in the file. A process that is killed while it writes leaves a part of a line, which the next one ends."""
    found = set()
    for line in path.read_text().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event["message"] != f"paid {event['n']}":
            fail(f"another line than that of a payment: {line}")
        found.add(event["n"])
    return found


def main():
    programs = build()
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        numbers, answered, refused = itertools.count(), set(), collections.Counter()
        for _ in range(KILLS):
            service = Service(programs, work)
            load = Load(service.port, numbers, answered)
            time.sleep(rng.uniform(0.0, 0.5))
            service.stop(signal.SIGKILL)
            load.join()
            refused += load.refused
            verified = subprocess.run([programs / "spool", "verify", work / "spool"], capture_output=True, text=True)
            if verified.returncode:
                fail(f"spool verify: {verified.stdout}{verified.stderr}")
        exported = subprocess.check_output([programs / "spool", "export", work / "spool"], text=True).splitlines()
        left = [json.loads(line)["n"] for line in exported]
        service = Service(programs, work)
        load = Load(service.port, numbers, answered)
        time.sleep(0.5)
        code, report = service.stop(signal.SIGTERM)
        load.join()
        if code:
            fail(f"exit code {code} of the last process: {report}")
        found = payments(work / "audit.json")
        missing = [number for number in answered if number not in found]
        if missing:
            fail(f"{len(missing)} of {len(answered)} payments that were answered are not in the file: {missing[:5]}")
        print(f"ok: killed {KILLS} times: {len(answered)} payments were answered, and each is in the file")
        gone = [number for number in left if number not in found]
        if gone:
            fail(f"{len(gone)} of {len(left)} events that `spool export` has shown are not in the file: {gone[:5]}")
        print(f"ok: `spool export` has shown {len(left)} events after the last kill, and each is in the file")
        if len(answered) < 10 * KILLS:
            fail(f"{len(answered)} payments were answered, which is little: {refused}")
        rest = subprocess.run([programs / "spool", "export", work / "spool"], capture_output=True, text=True)
        if rest.stdout or rest.returncode:
            fail(f"after the orderly end the spool has {rest.stdout[:200]} {rest.stderr}")
        print("ok: after the orderly end the spool is empty")
    print("PASSED")


if __name__ == "__main__":
    main()
