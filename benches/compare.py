#!/usr/bin/env python3
"""Runs benchmarks here and at a reference commit, in turn, and prints the medians side by side.

    benches/compare.py [--against REV] [--rounds N] BENCH [BENCH...]

Both sides run the benchmarks of this tree, each with the library of its side. Names that have changed since the oldest
commit one may want to compare with are translated. A ratio is the median of the ratios of the rounds: what disturbs one
side of a round disturbs the other.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NUMBER = re.compile(r"(?<![\w.])-?\d[\d_]*(?:\.\d+)?(?![\w.]*\d)")
# Public names, now and before 0.2.
RENAMED = [
    ("Pipeline::new(", "Pipeline::to("),
    ("WhenFull::Block", "Backlog::Wait"),
    ("WhenFull", "Backlog"),
    (".memory_limit(", ".memory("),
    (".close_timeout(", ".close_waits("),
]


def output(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def build(tree, target, bench):
    """Returns the path of the program."""
    command = ["cargo", "bench", "--all-features", "--bench", bench, "--no-run"]
    text = subprocess.run(
        command, cwd=tree, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, text=True, capture_output=True
    )
    if text.returncode:
        sys.exit(f"{bench} does not build in {tree}:\n{text.stderr}")
    return re.findall(r"Executable .*\((.*)\)", text.stderr)[-1]


def run(program):
    """Returns the lines, in order, each as its text without numbers and its numbers."""
    lines = []
    for line in output(program, "--bench").splitlines():
        text = " ".join(NUMBER.sub("#", line).split())
        lines.append((text, [float(number.replace("_", "")) for number in NUMBER.findall(line)], line))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="HEAD^", metavar="REV")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("bench", nargs="+")
    options = parser.parse_args()

    commit = output(ROOT / ".ci/reference", "--against", options.against).strip()
    metadata = output("cargo", "metadata", "--format-version", "1", "--no-deps", cwd=ROOT)
    target = Path(re.search(r'"target_directory":"([^"]*)"', metadata)[1])
    old = Path(output(ROOT / "benches/reference.sh", target, commit).strip())
    for bench in options.bench:
        source = (ROOT / f"benches/{bench}.rs").read_text()
        if "WhenFull" not in output("grep", "-rh", "pub enum", old / "tree/src"):
            for now, before in RENAMED:
                source = source.replace(now, before)
        (old / f"tree/benches/{bench}.rs").write_text(source)
        sides = [build(old / "tree", old / "target", bench), build(ROOT, target, bench)]
        # Copies with names of one length: where the stack begins depends on it.
        programs = [shutil.copy(program, target / f"compare-{bench}-{side}") for side, program in enumerate(sides)]
        rounds = []
        for number in range(options.rounds):
            order = [0, 1] if number % 2 == 0 else [1, 0]
            results = {side: run(programs[side]) for side in order}
            rounds.append((results[0], results[1]))
        show(bench, commit[:7], rounds)


def show(bench, commit, rounds):
    print(f"{bench}: {len(rounds)} rounds, medians")
    print(f"{'before is ' + commit:<56} {'before':>10} {'now':>10} {'ratio':>7}")
    for at, (text, numbers, line) in enumerate(rounds[0][1]):
        sides = [[side[at] for side in one] for one in rounds if all(len(side) > at for side in one)]
        if any(one[0] != text for pair in sides for one in pair):
            print(f"{line:<56} {'(lines differ)':>29}")
            continue
        for place in range(len(numbers)):
            before, now = ([pair[side][1][place] for pair in sides] for side in (0, 1))
            if len(set(before + now)) == 1:
                continue
            ratio = statistics.median(n / b if b else float("nan") for b, n in zip(before, now))
            label = f"{re.sub(r' {2,}.*', '', line)[:48]} [{place + 1}]"
            print(f"{label:<56} {statistics.median(before):>10.4g} {statistics.median(now):>10.4g} {ratio:>7.2f}")


if __name__ == "__main__":
    main()
