"""Run every bench, one after another; keep what they measured in ``benches/results.json`` and ``docs/performance.md``.

A bench is a file ``benches/bench_*.py`` that prints with ``--json`` a list of rows ``{name, value, unit, peer, ratio,
bar, met}`` (``peer``: the same of another system; ``bar``: what this project asks of itself). It fails if it exits with
another status than 0, prints something else, or a row misses its bar; a failure is told, the others still run, and the
exit status is 1. Benches named on the command line run alone and replace only their own rows.

    python benches/run.py                 # all
    python benches/run.py turn ledger     # these

Results are sorted and carry no date, so that a rerun changes figures and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "performance.md"
LIMIT_SECONDS = 1_800
COLUMNS = ("bench", "name", "value", "unit", "peer", "ratio", "bar", "met")
NUMBERS = frozenset({"value", "peer", "ratio", "bar"})
Row = dict[str, Any]

INTRODUCTION = """\
# Performance

Made by `python benches/run.py` (`make bench`) from [results.json](../benches/results.json); do not edit. All of it was
measured, on {machine}.
A peer is the same act done by something else in the same run: anvil for the ledger, raw age for sealing,
sentence-transformers for embedding, the same route without payment for paid calls, pyDVL for KNN-Shapley, datasketch
for near duplicates. A bar is what this project asks of itself; a bench that misses one fails. Times by the clock depend
on what else the machine does; processor times hardly.

![Seconds of each stage of a demonstration](stages.svg)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one bench gave: its rows, and in a few words what went wrong (empty if nothing did)."""

    bench: str
    rows: list[Row] = field(default_factory=list)
    failure: str = ""


def benches(names: list[str], folder: Path = HERE) -> list[Path]:
    """Return the bench files by name, all of them for no names; raises ``SystemExit`` for a name that is none."""
    every = {path.stem.removeprefix("bench_"): path for path in sorted(folder.glob("bench_*.py"))}
    unknown = [name for name in names if name not in every]
    if unknown:
        raise SystemExit(f"There is no bench {', '.join(unknown)}; there are {', '.join(every)}.")
    return [every[name] for name in names or every]


def measure(path: Path, limit: float = LIMIT_SECONDS) -> Outcome:
    """Run one bench in a process of its own."""
    name = path.stem.removeprefix("bench_")
    command = [sys.executable, str(path), "--json"]
    try:
        done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, timeout=limit, check=False, text=True)
    except subprocess.TimeoutExpired:
        return Outcome(name, failure=f"ran longer than {limit:,.0f} s")
    try:
        rows = json.loads(done.stdout)
        shaped = [{**row, "bench": name, "name": row["name"], "value": row["value"]} for row in rows]
    except (ValueError, KeyError, TypeError):
        return Outcome(name, failure=f"printed no JSON rows (exit status {done.returncode})")
    missed = [str(row["name"]) for row in shaped if row.get("met") is False]
    if missed:
        return Outcome(name, shaped, f"missed its bar in: {', '.join(missed)}")
    return Outcome(name, shaped, f"exit status {done.returncode}" if done.returncode else "")


def machine() -> dict[str, Any]:
    """Return what the figures depend on and that stays the same from run to run."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def merged(before: dict[str, Any], outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the results with the new rows in place of the old ones of the same benches.

    A bench that printed no rows keeps none: an old figure beside a failed run would look measured.
    """
    ran = {outcome.bench for outcome in outcomes}
    rows = [row for row in before.get("rows", []) if row["bench"] not in ran]
    rows += [row for outcome in outcomes for row in outcome.rows]
    return {"machine": machine(), "rows": sorted(rows, key=lambda row: (row["bench"], row["name"]))}


def page(results: dict[str, Any]) -> str:
    """Return the results as a document, a table for each bench."""
    facts = results["machine"]
    text = INTRODUCTION.format(machine=f"{facts['cpus']} cores, Python {facts['python']}, {facts['system']}")
    for bench in sorted({row["bench"] for row in results["rows"]}):
        rows = [row for row in results["rows"] if row["bench"] == bench]
        columns = ["name", "value", "unit", *(c for c in COLUMNS[4:] if any(row.get(c) is not None for row in rows))]
        text += f"\n## {bench.replace('_', ' ')}\n\n| {' | '.join(columns)} |\n"
        text += "|" + "|".join("---:" if column in NUMBERS else "---" for column in columns) + "|\n"
        for row in rows:
            text += f"| {' | '.join(shown(row.get(column)).replace('|', '/') for column in columns)} |\n"
    return text


def write(path: Path, text: str) -> None:
    """Write a file at once, never in part."""
    partial = path.with_suffix(".new")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def table(rows: list[Row]) -> str:
    """Return the rows as aligned text, numbers to the right."""
    cells = [[shown(row.get(column)) for column in COLUMNS] for row in rows]
    widths = [max(len(line[at]) for line in [list(COLUMNS), *cells]) for at in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in NUMBERS else text.ljust(width)
            for column, text, width in zip(COLUMNS, line, widths, strict=True)
        ).rstrip()
        for line in [list(COLUMNS), *cells]
    )


def shown(value: Any) -> str:
    """Return a cell's text; what is absent is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def main(arguments: list[str] | None = None) -> int:
    """Run the benches, keep and print the results; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bench", nargs="*", help="run only these, like: turn ledger")
    outcomes = []
    for path in benches(parser.parse_args(arguments).bench):
        print(f"{path.name} ...", file=sys.stderr, flush=True)
        outcomes.append(measure(path))
    results = merged(json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}, outcomes)
    write(RESULTS, json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    write(PAGE, page(results))
    print(table(results["rows"]))
    failed = [outcome for outcome in outcomes if outcome.failure]
    for outcome in failed:
        print(f"FAILED bench_{outcome.bench}.py: {outcome.failure}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
