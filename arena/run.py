"""Run every attack of the arena and keep what it earned in ``arena/results.json``, a table and ``docs/arena.svg``.

    python -m arena.run                   # all rows, five seeds
    python -m arena.run --seeds 2 money   # these groups alone, replacing only their rows

A row is ``{id, attack, corpus, unit, bar, value, low, high, naive, met, seeds, size}``: the mean over seeds, its 95%
interval by Student's t, and the same where the pay is naive. ``met`` says whether the mean keeps the bar; a bar that is
missed is printed as missed. ``code`` hashes the sources that the figures follow from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from arena import data_attacks, judging_attacks, money_attacks, rating_attacks
from arena.texts import Corpus, clinc150, newsgroups
from arena.world import Size, World

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PLOT = ROOT / "arena" / "results.json", ROOT / "docs" / "arena.svg"
SEEDS = 5
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
CLINC150, NEWSGROUPS = Size(), Size(records=8, queries=150, gate=200, reference=100)
Row = dict[str, Any]
Measured = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row is, its unit and the largest value that keeps the bar (``below``: smaller than the bar)."""

    attack: str
    unit: str
    bar: float
    below: bool = False

    def met(self, value: float) -> bool:
        """Return whether ``value`` keeps the bar."""
        return value < self.bar if self.below else value <= self.bar


STYLE = """<style>
  text { font: 11px system-ui, sans-serif; fill: #24292f; }
  .ground { fill: #ffffff; } .grid { stroke: #d0d7de; } .bar { stroke: #24292f; }
  .naive { fill: none; stroke: #8c959f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .ground { fill: #0d1117; } .grid { stroke: #30363d; } .bar { stroke: #e6edf3; }
  }
</style>"""
POINTS = "points of the pool"
BARS = {
    **{f"1 split, {n:,} ids": Bar(f"one owner behind {n:,} accounts", POINTS, 0.0) for n in (10, 100, 1_000)},
    "2 own x10": Bar("own records ten times over", POINTS, 0.0),
    "2 copies": Bar("exact copies of 30% of the corpus", POINTS, 0.0),
    "3 cos 0.97": Bar("paraphrases planted at cosine .97", POINTS, 0.5),
    "3 cos 0.93": Bar("paraphrases planted at cosine .93", POINTS, 3.0),
    "3 cos 0.86": Bar("paraphrases planted at cosine .86", POINTS, 3.0),
    "3 below theta": Bar("paraphrases planted just below theta", POINTS, 3.0),
    "3 words": Bar("paraphrases by word substitution", POINTS, 3.0),
    "3 reordered": Bar("paraphrases by reordering", POINTS, 3.0),
    "3 templates": Bar("paraphrases by templates", POINTS, 3.0),
    "4 filler": Bar("early generic filler", POINTS, 5.0),
    "4 filler, R covers": Bar("early filler, the reference covers its generator", POINTS, 2.0),
    "5 junk, net": Bar("junk: what it earns by itself", POINTS, 0.0, below=True),
    "5 junk, accuracy": Bar("junk: accuracy lost once slashed records have left", "points of accuracy", 2.0),
    "5 junk, accuracy of its turn": Bar("junk: accuracy lost by the turn's own model", "points of accuracy", 2.0),
    "5 flipped, net": Bar("wrong labels: what they earn by themselves", POINTS, 0.0, below=True),
    "5 flipped, accuracy": Bar("wrong labels: accuracy lost once slashed records have left", "points of accuracy", 2.0),
    "5 flipped, accuracy of its turn": Bar("wrong labels: lost by the turn's own model", "points of accuracy", 2.0),
    "6 backdoor": Bar("trigger in 1% of records", "percent of triggered queries", 5.0),
    "8 leaked queries": Bar("5% of the scoring queries leaked", POINTS, 1.0),
    "9 spam": Bar("50% of raters answer at random", "percent of pay", 0.5),
    "10 colluders": Bar("40% of raters collude", "percent of pay", 1.0),
    "10 camouflaged": Bar("40% collude and answer honestly in between", "percent of pay", 3.0),
    "11 golds leaked": Bar("40% collude and know half of the golds", "percent of pay", 7.0),
    "12 bots": Bar("30% vote bots, a fifth of them smart", "ranks moved", 1.0),
    "13 cabal": Bar("evaluators with 49% of stake for models of no work", "percent of incentive", 2.0),
    "13 copier": Bar("evaluator copies last round's weights", "percent of an honest dividend", 80.0),
    "17 wash": Bar("paying oneself, no subsidy: largest profit", "share of fees", 0.0, below=True),
    "17 wash, points that win": Bar("paying oneself, no subsidy: points with a profit", "percent of points", 0.0),
    "17 wash, subsidised": Bar("the same under the formula of subsidies", "share of fees", 0.0, below=True),
    "26 farmers, pay": Bar("30% of accounts mix 1 - 5 and 9: all their pay", "percent of pay", 5.0, below=True),
    "26 farmers, net": Bar("the same less what they are slashed", POINTS, 5.0, below=True),
    "26 honest loss": Bar("what honest owners lose to them", "percent of their pay", 3.0, below=True),
    "A chosen filler": Bar("early filler chosen against the reference and guessed queries", POINTS, 5.0),
    "A blends": Bar("blends of seen records, chosen on guessed queries", POINTS, 3.0),
}


def data_job(corpus: str, seed: int, share: float) -> Measured:
    """Run the attacks on the pay for data in one world, ``share`` of the full size."""
    texts, size = (clinc150(), CLINC150) if corpus == "clinc150" else (newsgroups(), NEWSGROUPS)
    records, queries = round(size.records * share), round(size.queries * share)
    return in_world(
        texts, replace(size, records=records, queries=queries, reference=round(size.reference * share)), seed
    )


def in_world(
    corpus: Corpus, size: Size, seed: int, attacks: Iterable[Callable[..., Any]] = data_attacks.ATTACKS
) -> Measured:
    """Run ``attacks`` in the world of ``seed``."""
    world = World(corpus, size, seed)
    return {name: measured for attack in attacks for name, measured in attack(world).items()}


def seed_job(group: str, seed: int, _: float) -> Measured:
    """Run the attacks that play in no world of owners."""
    jobs = {"rating": rating_attacks.rating, "judging": judging_attacks.judging, "money": money_attacks.money}
    return jobs[group](seed)


GROUPS: dict[str, Callable[[str, int, float], Measured]] = {
    "clinc150": data_job,
    "newsgroups": data_job,
    "rating": seed_job,
    "judging": seed_job,
    "money": seed_job,
}


def rows_of(corpus: str, measured: list[Measured], share: float = 1.0) -> list[Row]:
    """Return the rows of what each seed ``measured``."""
    rows = []
    for name in measured[0]:
        values = np.array([found[name][0] for found in measured])
        naive = float(np.mean([found[name][1] for found in measured]))
        mean, bar = float(values.mean()), BARS[name]
        spread = (
            STUDENT.get(len(values), 1.96) * float(values.std(ddof=1)) / len(values) ** 0.5 if values[1:].size else 0
        )
        figures = {"value": mean, "low": mean - spread, "high": mean + spread, "naive": naive}
        rows.append(
            {
                "id": name,
                "attack": bar.attack,
                "corpus": corpus,
                "unit": bar.unit,
                "bar": f"{'<' if bar.below else '<='} {bar.bar:g}",
                **{key: round(value, 3) + 0.0 for key, value in figures.items()},
                "met": bar.met(mean),
                "seeds": len(values),
                "size": share,
            }
        )
    return rows


def code_hash() -> str:
    """Return SHA-256 over the sources of value, reward and core, by name and content."""
    digest = hashlib.sha256()
    for part in ("core", "reward", "value"):
        for path in sorted((ROOT / "src" / "rodagila" / part).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def table(rows: list[Row]) -> str:
    """Return the rows as aligned text."""
    columns = ("corpus", "id", "value", "low", "high", "bar", "naive", "unit", "met")
    cells = [[("yes" if row[c] else "MISSED") if c == "met" else str(row[c]) for c in columns] for row in rows]
    widths = [max(len(line[at]) for line in [list(columns), *cells]) for at in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [list(columns), *cells]
    )


def plot(rows: list[Row]) -> str:
    """Return an SVG: for each row a dot with its interval and a ring for naive pay, on one scale cut at -5 and 30."""
    low, high, left, width, step = -5.0, 30.0, 330, 520, 17
    shown = [
        row for row in rows if row["unit"] not in ("share of fees", "percent of an honest dividend", "ranks moved")
    ]

    def x(value: float) -> float:
        return round(left + (min(high, max(low, value)) - low) / (high - low) * width, 1)

    height = step * (len(shown) + 3)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 30} {height}" role="img" '
        'aria-label="What each attack earns: by the rule (dot, 95% interval), its bar (tick), naive pay (ring)">',
        STYLE,
        f'<rect class="ground" width="{left + width + 30}" height="{height}"/>',
    ]
    for mark in range(-5, 31, 5):
        lines.append(f'<line x1="{x(mark)}" x2="{x(mark)}" y1="10" y2="{height - 24}" class="grid"/>')
        lines.append(f'<text x="{x(mark)}" y="{height - 8}" text-anchor="middle">{mark}</text>')
    for at, row in enumerate(shown):
        y, colour = 20 + at * step, "#1a7f37" if row["met"] else "#cf222e"
        bar = x(float(row["bar"].split()[1]))
        lines += [
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{row["corpus"]} {row["id"]}</text>',
            f'<line x1="{bar}" x2="{bar}" y1="{y - 6}" y2="{y + 6}" class="bar"/>',
            f'<circle cx="{x(row["naive"])}" cy="{y}" r="4" class="naive"/>',
            f'<line x1="{x(row["low"])}" x2="{x(row["high"])}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{x(row["value"])}" cy="{y}" r="3.5" fill="{colour}"/>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def order_of(row: Row) -> tuple[Any, ...]:
    """Return the place of a row in the table: rows of MECHANISM by number, adaptive attackers last."""
    first = row["id"].split()[0]
    return row["corpus"], not first.isdigit(), int(first) if first.isdigit() else 0, list(BARS).index(row["id"])


def main(arguments: list[str] | None = None) -> int:
    """Run the groups, keep and print the rows; the exit status is 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("group", nargs="*", help=f"run only these of: {', '.join(GROUPS)}")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--share", type=float, default=1.0, help="share of the full size of the worlds, for a quick look"
    )
    given = parser.parse_args(arguments)
    groups = given.group or list(GROUPS)
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    measured: list[Row] = []
    with ProcessPoolExecutor(given.processes) as pool:
        jobs = {
            group: [pool.submit(GROUPS[group], group, seed, given.share) for seed in range(1, given.seeds + 1)]
            for group in groups
        }
        for group, waiting in jobs.items():
            measured += rows_of(group, [job.result() for job in waiting], given.share)
            print(f"{group} done", file=sys.stderr, flush=True)
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"rows": []}
    rows = [row for row in before["rows"] if row["corpus"] not in groups] + measured
    rows.sort(key=order_of)
    RESULTS.write_text(json.dumps({"code": code_hash(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    PLOT.write_text(plot(rows), encoding="utf-8")
    print(table(rows))
    missed = [row for row in rows if not row["met"]]
    for row in missed:
        print(f"MISSED {row['corpus']} {row['id']}: {row['value']} where {row['bar']} is asked", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
