"""See otlp.sh."""
import datetime
import gzip
import http.server
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service_pb2

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SEVERITIES = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}


def fail(text):
    sys.exit(f"FAILED: {text}")


def build():
    command = ["cargo", "build", "--quiet", "--release", "--all-features", "--example", "service"]
    subprocess.run(command, cwd=ROOT, check=True)
    metadata = subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT)
    return pathlib.Path(json.loads(metadata)["target_directory"]) / "release/examples/service"


class Receiver:
    """A receiver that answers as scripted, and 200 after that. It keeps what it has accepted."""

    def __init__(self, script=(), port=0):
        self.script, self.accepted, self.requests, self.resources, self.connections = list(script), [], 0, [], []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                receiver.connections.append(self.connection)

            def do_POST(self):
                receiver.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/logs"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        # Those that are kept alive too.
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def answer(self, handler):
        expected = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
        for name, value in expected.items():
            if handler.headers[name] != value:
                fail(f"{name}: {handler.headers[name]}")
        length = int(handler.headers["content-length"])
        self.requests += 1
        reply = self.script.pop(0) if self.script else "accept"
        if reply == "reset inside the request":
            handler.rfile.read(length // 2)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
            handler.close_connection = True
            return
        request = service_pb2.ExportLogsServiceRequest()
        request.ParseFromString(gzip.decompress(handler.rfile.read(length)))
        if handler.path != "/v1/logs":
            fail(f"path {handler.path}")
        status, headers, body = 200, {}, service_pb2.ExportLogsServiceResponse()
        if reply == "partial success":
            body.partial_success.rejected_log_records = 1
            body.partial_success.error_message = "one is too old"
        elif isinstance(reply, tuple):
            status, headers = reply
        if status == 200:
            for resource in request.resource_logs:
                self.resources.append({pair.key: pair.value.string_value for pair in resource.resource.attributes})
                for scope in resource.scope_logs:
                    self.accepted += [(scope.scope.name, record) for record in scope.log_records]
        payload = body.SerializeToString()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if reply == "response cut off":
            handler.send_header("content-length", "1000")
            handler.end_headers()
            handler.wfile.write(b"part")
            handler.close_connection = True
            return
        handler.send_header("content-length", str(len(payload)))
        handler.end_headers()
        handler.wfile.write(payload)


class Service:
    def __init__(self, program, file, url, *options):
        command = [program, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--file", file, "--otlp", url, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"listening on http://([0-9.:]+),", line)
        if not found:
            fail(f"the service prints {line!r}")
        self.url, self.lines = f"http://{found[1]}", []
        # Its console gets a line for each request.
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.reader.start()

    def get(self, path):
        try:
            urllib.request.urlopen(self.url + path, timeout=30).read()
        except urllib.error.HTTPError as error:
            error.read()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self.reader.join()
        report = "".join(self.lines)
        if how == signal.SIGTERM and code:
            fail(f"exit code {code}: {report[-2000:]}")
        found = re.search(r"^  collector: .*$", report, re.MULTILINE)
        return found[0].strip() if found else report[-2000:]


def nanos(text):
    moment, fraction = text.rstrip("Z").split(".")
    seconds = datetime.datetime.fromisoformat(moment).replace(tzinfo=datetime.timezone.utc).timestamp()
    return int(seconds) * 1_000_000_000 + int(fraction)


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


def as_attribute(json_value):
    if isinstance(json_value, dict) and "message" in json_value:
        return ": ".join([json_value["message"], *json_value["sources"]])
    return json_value


def compare(line, scope, record):
    """Every part of a line of the file is in the record."""
    for name, found, expected in [
        ("time", record.time_unix_nano, nanos(line["timestamp"])),
        ("severity", (record.severity_number, record.severity_text), (SEVERITIES[line["level"]], line["level"])),
        ("scope", scope, line["target"]),
        ("body", record.body.string_value, line["message"]),
    ]:
        if found != expected:
            fail(f"{name}: {found!r}, in the file {expected!r}")
    attributes = {pair.key: value(pair.value) for pair in record.attributes}
    for name, expected in line.items():
        if name not in ("timestamp", "level", "target", "message") and attributes.get(name) != as_attribute(expected):
            fail(f"{name}: {attributes.get(name)!r}, in the file {expected!r}")
        if name in attributes and type(attributes[name]) is not type(as_attribute(expected)):
            fail(f"{name}: {attributes[name]!r} has another type than {expected!r}")


def lines_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def paths(service, numbers):
    for number in numbers:
        service.get(f"/users/{number}")


def check(what, found, expected):
    if found != expected:
        fail(f"{what}: {found}, expected {expected}")
    print(f"ok: {what}: {found}")


def fields(program, work):
    receiver = Receiver()
    service = Service(program, work / "fields.json", receiver.url)
    for path in ["/", "/fail", "/slow?ms=5", "/nothing", *(f"/users/{n}" for n in range(200))]:
        service.get(path)
    report = service.stop()
    lines = lines_of(work / "fields.json")
    check("records that OpenTelemetry decodes, and lines in the file", len(receiver.accepted), len(lines))
    for line, (scope, record) in zip(lines, receiver.accepted):
        compare(line, scope, record)
    errors = [record for _, record in receiver.accepted if any(pair.key == "exception.message" for pair in record.attributes)]
    check("of these with an exception", len(errors), 1)
    check("the resource", receiver.resources[0], {"service.name": "service"})
    print(f"ok: every field has its value and its type: {report}")
    receiver.stop()


def answers(program, work):
    for name, script, expected in [
        ("a partial success", ["partial success"], "delivered 9 + dropped 1 (rejected 1)"),
        ("429 with Retry-After", [(429, {"retry-after": "1"})], "delivered 10 + dropped 0"),
        ("503", [(503, {})], "delivered 10 + dropped 0"),
        ("504", [(504, {})], "delivered 10 + dropped 0"),
        ("400", [(400, {})], "delivered 0 + dropped 10 (rejected 10)"),
        ("a reset inside the request", ["reset inside the request"], "delivered 10 + dropped 0"),
        ("a response that is cut off", ["response cut off"], "delivered 10 + dropped 0"),
    ]:
        receiver = Receiver(script)
        file = work / "answers.json"
        file.unlink(missing_ok=True)
        service = Service(program, file, receiver.url)
        paths(service, range(10))
        report = service.stop()
        if f"routed 10 = {expected}" not in report:
            fail(f"{name}: {report}")
        print(f"ok: {name}: {report}")
        receiver.stop()


def killed(program, work):
    """The receiver is down, the service is killed meanwhile and begun again; then the receiver is there."""
    receiver = Receiver()
    port = receiver.server.server_port
    file, spool = work / "killed.json", work / "spool"
    service = Service(program, file, receiver.url, "--spool", spool)
    paths(service, range(100))
    deadline = time.monotonic() + 30
    while len(receiver.accepted) < 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    receiver.stop()
    paths(service, range(100, 300))
    # More than the interval at which events leave the queue: what is in the file by then is in the spool too.
    time.sleep(1)
    service.stop(signal.SIGKILL)
    service = Service(program, file, receiver.url, "--spool", spool)
    paths(service, range(300, 400))
    again = Receiver(port=port)
    again.accepted = receiver.accepted
    deadline = time.monotonic() + 60
    while len(again.accepted) < 400 and time.monotonic() < deadline:
        time.sleep(0.01)
    report = service.stop()
    found = [value for _, record in again.accepted for value in [record.body.string_value]]
    users = [int(number) for text in found for number in re.findall(r"/users/([0-9]+)", text)]
    if users != list(range(400)):
        fail(f"{len(set(users))} of 400 requests arrived, {len(users) - len(set(users))} twice: {report}")
    print(f"ok: 400 requests arrived across an outage and a kill, each once, in order: {report}")
    again.stop()


def main():
    program = build()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        fields(program, work)
        answers(program, work)
        killed(program, work)
    print("PASSED")


if __name__ == "__main__":
    main()
