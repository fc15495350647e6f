"""Compares what parsers read with what was emitted, for tests/e2e/formats.sh.

formats.py FOLDER PROGRAM: the folder of the formats' files, `expected`, and what jq made of them; the test program, which
is run in a terminal. Prints `ok: ...` for each check, or `FAILED: ...` and exits with 1.
"""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from urllib.parse import unquote_to_bytes

import logfmtkv
from pyclef.parser import ClefParser

FOLDER, PROGRAM = Path(sys.argv[1]), sys.argv[2]
CLEF_LEVELS = {"trace": "Verbose", "debug": "Debug", "info": None, "warn": "Warning", "error": "Error", "fatal": "Fatal"}
IDS = {"trace_id": ("@tr", 32), "span_id": ("@sp", 16)}


class Wrong(Exception):
    pass


def unique(pairs):
    """An object, none of whose keys is there twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Wrong(f"a key is there twice: {[key for key, _ in pairs]}")
    return members


def parse(line):
    return json.loads(line, object_pairs_hook=unique)


def lines(name):
    text = (FOLDER / name).read_bytes().decode()
    if not text.endswith("\n"):
        raise Wrong(f"{name} does not end in a newline")
    return text[:-1].split("\n")


EXPECTED = [parse(line) for line in lines("expected")]


def is_same(found, expected, lossy):
    """Equal in type and value. jq reads every number as a double, and writes those without a fraction as integers."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and found.keys() == expected.keys() and all(
            is_same(found[key], value, lossy) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(is_same, found, expected, [lossy] * len(found)))
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        if lossy:
            return not isinstance(found, (bool, str)) and float(found) == float(expected)
        return type(found) is type(expected) and repr(found) == repr(expected)
    return type(found) is type(expected) and found == expected


def check(what, found, expected, lossy=False):
    if not is_same(found, expected, lossy):
        raise Wrong(f"{what}: {found!r:.300}, expected {expected!r:.300}")


def number(bits):
    return struct.unpack(">d", bytes.fromhex(bits))[0]


def shortest(value):
    """The fewest digits that give back a float of 32 bits."""
    def bits(number):
        try:
            return struct.pack(">f", number)
        except OverflowError:
            return None

    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return next(text for text in texts if bits(float(text)) == bits(value))


def not_finite(value):
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def as_json(kind, value):
    """What the table in the documentation of `Json` says a value becomes."""
    if kind == "integer":
        return int(value) if -2**63 <= int(value) < 2**64 else value
    if kind == "float":
        value = number(value)
        return value if abs(value) < float("inf") else not_finite(value)
    if kind == "float32":
        # The digits of the line are those of a float of 32 bits: its decimal text, read as one of 64.
        value = number(value)
        return float(shortest(value)) if abs(value) < float("inf") else not_finite(value)
    if kind == "json":
        try:
            return json.loads(value)
        except ValueError:
            return value
    if kind == "error":
        return {"message": value[0], "sources": value[1:]}
    return value


def time_of(event):
    seconds, nanos = divmod(event["nanos"], 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanos:09d}Z"


def fields(event, reserved):
    """The names that fields have beside the format's, with their values."""
    names = {name for name, _, _ in event["fields"]}
    for name, kind, value in event["fields"]:
        own = name
        while own in reserved or own != name and own in names:
            own += "_"
        yield own, kind, value


def take(members, name):
    """Takes a field out, from objects in objects too."""
    if name in members:
        return members.pop(name)
    for dot in re.finditer(r"\.", name):
        inner = members.get(name[:dot.start()])
        if isinstance(inner, dict):
            found = take(inner, name[dot.end():])
            if not inner:
                del members[name[:dot.start()]]
            return found
    raise Wrong(f"the field {name!r:.100} is lost")


def check_json(event, members, keys, lossy):
    for key, value in keys.items():
        if value is not None:
            check(key, take(members, key), value, lossy)
    for name, kind, value in fields(event, set(keys) | {"truncated"}):
        check(name, take(members, name), as_json(kind, value), lossy)
    check("what is left over", members, {})


def default_keys(event):
    level = event["level"].upper()
    return {"timestamp": time_of(event), "level": level, "target": event["target"], "message": event["message"]}


def renamed_keys(event):
    place = {key: event[key] for key in ["module", "file", "line"]}
    return {"@timestamp": time_of(event), "log.level": event["level"].upper(), "msg": event["message"], **place}


def check_clef(event, members, rendered, lossy):
    template, level = event["template"], CLEF_LEVELS[event["level"]]
    check("@t", members.pop("@t"), time_of(event))
    check("@l", members.pop("@l", None), level)
    check("@mt", members.pop("@mt", None), None if rendered else template)
    check("@m", members.pop("@m", None), event["message"] if rendered or template is None else None)
    if (members.pop("@i", None) is not None) != (template is not None):
        raise Wrong("@i without a template, or a template without @i")
    holes = re.findall(r"\{[^{},:]+(?:,[^{}:]*)?:[^{}]*\}", (template or "").replace("{{", "").replace("}}", ""))
    renderings = members.pop("@r", [])
    check("how many renderings", len(renderings), 0 if rendered else len(holes))
    if any(text not in event["message"] for text in renderings):
        raise Wrong(f"renderings that the message has not: {renderings}")
    errors = [value for _, kind, value in event["fields"] if kind == "error"]
    check("@x", members.pop("@x", None), "\ncaused by: ".join(errors[0]) if errors else None)
    check("SourceContext", members.pop("SourceContext"), event["target"])
    for name, kind, value in fields(event, {"SourceContext", "truncated"}):
        key, digits = IDS.get(name, ("", 0))
        if kind == "text" and re.fullmatch(r"[0-9a-f]*", value) and len(value) == digits > 0:
            check(key, members.pop(key), value)
        else:
            key = "@" + name if name.startswith("@") else name
            check(key, take(members, key), as_json(kind, value), lossy)
    check("what is left over", members, {})


def check_logfmt(event, line):
    members = logfmtkv.parse(line, strict=True, duplicates="error")
    members = {"" if key == "%" else unquote_to_bytes(key).decode(): value for key, value in members.items()}
    own = {"ts": time_of(event), "level": event["level"], "target": event["target"], "msg": event["message"]}
    for key, value in own.items():
        check(key, members.pop(key), value)
    for name, kind, value in fields(event, set(own) | {"truncated"}):
        found = take(members, name)
        if kind == "float" and abs(number(value)) < float("inf"):
            check(name, float(found), number(value))
        elif kind == "float32" and abs(number(value)) < float("inf"):
            check(name, float(found), float(shortest(number(value))))
        else:
            value = {"null": lambda: "null", "bool": lambda: str(value).lower(), "error": lambda: ": ".join(value),
                     "float": lambda: not_finite(number(value)), "float32": lambda: not_finite(number(value))}.get(kind, lambda: value)()
            check(name, found, value)
    check("what is left over", members, {})


def each(what, found, compare):
    """Compares events one by one, and says how many there were."""
    count = len(found)
    check(f"{what}: events", count, len(EXPECTED))
    for position, (event, line) in enumerate(zip(EXPECTED, found)):
        try:
            compare(event, line)
        except Exception as error:
            raise Wrong(f"{what}, line {position + 1}: {error}\n  {line!r:.400}") from error
    print(f"ok: {what}: {count} events, {sum(len(event['fields']) for event in EXPECTED)} fields")


def json_formats():
    for name, keys in [("json", default_keys), ("renamed", renamed_keys), ("nested", default_keys)]:
        each(f"{name}, by Python's json", lines(name), lambda event, line: check_json(event, parse(line), keys(event), False))
        each(f"{name}, by jq", lines(name + ".jq"), lambda event, line: check_json(event, parse(line), keys(event), True))
    nested = [parse(line) for line in lines("nested")]
    http = [event["http"] for event in nested if "http" in event]
    check("nested objects", http, [{"status": 0, "route": {"id": 2}}] * 2)
    print(f"ok: nested: {len(http)} events with an object of dotted fields")


def clef_formats():
    for name in ["clef", "rendered"]:
        rendered = name == "rendered"
        each(f"{name}, by Python's json", lines(name), lambda event, line: check_clef(event, parse(line), rendered, False))
        each(f"{name}, by jq", lines(name + ".jq"), lambda event, line: check_clef(event, parse(line), rendered, True))
        each(f"{name}, by pyclef", list(ClefParser(str(FOLDER / name)).iter_events()),
             lambda event, read: check_pyclef(event, read, rendered))


def check_pyclef(event, read, rendered):
    """The reader has taken the doubled `@` away, and knows no ids of traces: those are fields to it."""
    members = {("@" + key if key.startswith("@") and key not in ("@tr", "@sp") else key): value
               for key, value in read.user.items()}
    check("timestamp", read.timestamp, time_of(event))
    check("level", read.level, CLEF_LEVELS[event["level"]])
    check_clef(event, {**read.reified, **members}, rendered, False)


def pretty():
    text = lines("pretty")
    heads = [line for line in text if not line.startswith("  │ ")]
    times = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (TRACE|DEBUG| INFO| WARN|ERROR|FATAL) ")
    check("pretty: events", len([head for head in heads if times.match(head)]), len(EXPECTED))
    check("pretty: lines without a guide that are no heads", len(heads), len(EXPECTED))
    print(f"ok: pretty: {len(heads)} events on {len(text)} lines")


def terminal():
    """In a terminal of 70 columns, a field of 62 and one of 22 do not share a line; in one of 120 they do."""
    for columns, together in [(70, False), (120, True)]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {**os.environ, "LOGWEIR_TEST_CHILD": "pretty", "TERM": "xterm"}
        environment.pop("NO_COLOR", None)
        command = [PROGRAM, "--exact", "formats::pretty::the_child", "--nocapture"]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment, check=True, timeout=60)
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        if "\x1b[32m INFO\x1b[0m" not in shown:
            raise Wrong(f"no colours in a terminal: {shown!r}")
        line = next(line for line in shown.splitlines() if "xxx" in line)
        check(f"a terminal of {columns} columns: fields share a line", "yyy" in line, together)
    print("ok: pretty: colours and columns of terminals of 70 and 120 columns")


try:
    json_formats()
    clef_formats()
    each("logfmt, by logfmtkv as strict as go-logfmt", lines("logfmt"), check_logfmt)
    pretty()
    terminal()
except Wrong as error:
    print(f"FAILED: {error}")
    sys.exit(1)
