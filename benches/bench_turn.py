"""Measure a whole demonstration by stage: what each part of a turn takes, from a real ``roda demo --json``.

``python benches/bench_turn.py --json`` prints rows ``{name, value, unit, peer, ratio, bar, met}`` and writes the
picture ``docs/stages.svg``. The bar of the whole is DESIGN 8: about a minute on two cores, taken as 90 s. There is no
peer: no other system runs the whole loop on one machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "stages.svg"
BAR_SECONDS = 90
Row = dict[str, Any]

ROW, TOP, LEFT, WIDTH, RIGHT = 26, 44, 150, 640, 70
STYLE = """\
<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; }
  .bar { fill: #2f6fb3; }
  .ground { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #d5dbe1; }
    .bar { fill: #6aa7e8; }
    .ground { fill: #15191e; }
  }
</style>"""


def demonstration(extra: list[str]) -> tuple[dict[str, Any], list[Row], float, float]:
    """Run the demonstration in an empty directory; return its JSON, its ledger's gas beside anvil's, the seconds it
    took and its processor seconds."""
    from bench_ledger import gas_equal_rows  # beside this file; who only draws the picture does without

    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "rodagila.app.cli", "demo", "--json", "--out", out, *extra]
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"The demonstration failed with exit status {done.returncode}: {done.stdout[-500:]}")
        gas = gas_equal_rows(Path(out) / "home" / "ledger.sqlite")
    return json.loads(done.stdout), gas, seconds, used.ru_utime + used.ru_stime


def rows_of(result: dict[str, Any], seconds: float, processor: float) -> list[Row]:
    """Return the rows: the whole, each stage, what was done, and what came of it."""
    turns, owners = result["turns"], result["owners"]
    rows = [
        row("whole demonstration", round(seconds, 1), "s", BAR_SECONDS),
        row("whole demonstration, processor time", round(processor, 1), "s"),
        row("turns", len(turns), "turns"),
        row("records", sum(owner["records"] for owner in owners), "records"),
        row("paid calls", sum(turn["calls"] for turn in turns), "calls"),
    ]
    rows += [row(f"stage {entry['stage']}", round(entry["seconds"], 2), "s") for entry in result["stages"]]
    rows += [row(f"{turn['metric']} after turn {turn['turn']}", round(turn["value"], 3), "") for turn in turns]
    return [*rows, *money_rows(turns, owners)]


def money_rows(turns: list[Row], owners: list[Row]) -> list[Row]:
    """Return what was paid, and the freeloaders' part of it after slashes, in percent of what was paid."""
    paid = sum(turn["paid"] for turn in turns)
    cheats = [owner for owner in owners if owner["kind"] != "honest"]
    rows = [row("paid to owners", paid / 1e6, "tokens")]
    if paid and cheats:
        share = 100 * sum(owner["payout"] for owner in cheats) / paid
        rows.append(row(f"net share of {len(cheats)} freeloaders of {len(owners)} owners", round(share, 2), "%"))
    return rows


def row(name: str, value: float, unit: str, bar: float | None = None) -> Row:
    """Return one row; ``met`` is null without a bar."""
    met = None if bar is None else value <= bar
    return {"name": name, "value": value, "unit": unit, "peer": None, "ratio": None, "bar": bar, "met": met}


def picture(stages: list[tuple[str, float]], title: str) -> str:
    """Return horizontal bars of seconds by stage as one SVG that needs nothing else."""
    longest = max(seconds for _, seconds in stages) or 1
    height = TOP + ROW * len(stages) + 12
    scale = (WIDTH - LEFT - RIGHT) / longest
    box, label = f"0 0 {WIDTH} {height}", escape(title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{label}">',
        STYLE,
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
    ]
    for place, (name, seconds) in enumerate(stages):
        y = TOP + ROW * place
        size = max(1.0, seconds * scale)
        lines.append(f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect class="bar" x="{LEFT}" y="{y + 2}" width="{size:.1f}" height="16" rx="2"/>')
        lines.append(f'<text x="{LEFT + size + 8:.1f}" y="{y + 14}">{seconds:.2f} s</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """Write the picture of the demonstration's stages, at once."""
    stages = [(entry["stage"], float(entry["seconds"])) for entry in result["stages"]]
    total = sum(seconds for _, seconds in stages)
    title = f"{len(result['turns'])} turns by stage, {total:.1f} s in all"
    partial = path.with_suffix(".new")
    partial.write_text(picture(stages, title), encoding="utf-8")
    partial.replace(path)


def main() -> None:
    """Print the rows as JSON, or one a line, and write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where the SVG goes")
    parser.add_argument("demo", nargs="*", help="arguments for roda demo, after --")
    options = parser.parse_args()
    result, gas, seconds, processor = demonstration(options.demo)
    draw(result, options.picture)
    rows = [*rows_of(result, seconds, processor), *gas]
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        for found in rows:
            print("  ".join(f"{key}={value}" for key, value in found.items()))
    sys.exit(0 if all(found["met"] is not False for found in rows) else 1)


if __name__ == "__main__":
    main()
