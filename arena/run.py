"""Run every attack of the arena and keep what it earned in ``arena/results.json``, a table and ``docs/arena.svg``.

    python -m arena.run                   # all rows; five seeds, more where a seed is quick
    python -m arena.run --seeds 2 money   # these groups alone, replacing only their rows

A row is ``{id, attack, corpus, unit, bar, value, low, high, naive, met, seeds, size}``: the mean over seeds, its 95%
interval by Student's t, and the same where the pay is naive. ``met`` says whether the mean keeps the bar; a bar that is
missed is printed as missed. ``code`` hashes the sources that the figures follow from, the arena's own included.

A run can be stopped at any time: what an attack measured with a seed is kept under ``build/arena`` by a hash of the
sources of its group, and is not measured again until one of them changes (``--fresh`` measures all again). Embeddings
are kept there too, and the corpora are embedded once before the attacks start. Every process counts on one thread.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from arena import (
    adaptive_attacks,
    data_attacks,
    judging_attacks,
    language_model,
    lifting_attacks,
    money_attacks,
    rating_attacks,
    rewriting_attacks,
    root_attacks,
    texts,
    voucher_attacks,
)
from arena.texts import clinc150, newsgroups
from arena.world import Size, World

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PLOT = ROOT / "arena" / "results.json", ROOT / "docs" / "arena.svg"
KEPT = ROOT / "build" / "arena" / "kept"
SEEDS, MANY = 5, 60
"""Seeds of a group, and of one whose seeds take a second or two and scatter."""
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
SHOWN = (
    POINTS,
    "points of accuracy",
    "percent of pay",
    "percent of triggered queries",
    "percent of incentive",
    "percent of that label's queries",
)
"""Units that fit the plot's scale."""
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
    "3 there and back": Bar("paraphrases by making statements and questions of it", POINTS, 3.0),
    "3 voice": Bar("paraphrases in the passive voice", POINTS, 3.0),
    "3 contractions": Bar("paraphrases by contraction and expansion", POINTS, 3.0),
    "3 chains": Bar("paraphrases by chains of these rules", POINTS, 3.0),
    "3 language model": Bar("paraphrases by a language model", POINTS, 3.0),
    "4 filler": Bar("early generic filler", POINTS, 5.0),
    "4 filler, R covers": Bar("early filler, the reference covers its generator", POINTS, 2.0),
    "5 junk, net": Bar("junk: what it earns by itself", POINTS, 0.0, below=True),
    "5 junk, accuracy": Bar("junk: accuracy lost once slashed records have left", "points of accuracy", 2.0),
    "5 junk, accuracy of its turn": Bar("junk: accuracy lost by the turn's own model", "points of accuracy", 2.0),
    "5 flipped, net": Bar("wrong labels: what they earn by themselves", POINTS, 0.0, below=True),
    "5 flipped, accuracy": Bar("wrong labels: accuracy lost once slashed records have left", "points of accuracy", 2.0),
    "5 flipped, accuracy of its turn": Bar("wrong labels: lost by the turn's own model", "points of accuracy", 2.0),
    "6 backdoor": Bar("trigger in 1% of records", "percent of triggered queries", 5.0),
    "7 lifted": Bar("others' contributions lifted or replayed", "of 10,000 tries", 0.0),
    "7 replayed": Bar("proofs altered or replayed elsewhere", "of 10,000 tries", 0.0),
    "8 leaked queries": Bar("5% of the scoring queries leaked", POINTS, 1.0),
    "9 spam": Bar("50% of raters answer at random", "percent of pay", 0.5),
    "10 colluders": Bar("40% of raters collude", "percent of pay", 1.0),
    "10 camouflaged": Bar("40% collude and answer honestly in between", "percent of pay", 3.0),
    "10 adaptive": Bar("40% follow a code on the share of tasks that adds most", "percent of pay", 1.0),
    "11 golds leaked": Bar("40% collude and know half of the golds", "percent of pay", 7.0),
    "11 adaptive": Bar("the same as 10 adaptive, half of the golds known", "percent of pay", 7.0),
    "12 bots": Bar("30% vote bots, a fifth of them smart", "ranks moved", 1.0),
    "13 cabal": Bar("evaluators with 49% of stake for models of no work", "percent of incentive", 2.0),
    "13 copier": Bar("evaluator copies last round's weights", "percent of an honest dividend", 80.0),
    "17 wash": Bar("paying oneself, no subsidy: largest profit", "share of fees", 0.0, below=True),
    "17 wash, points that win": Bar("paying oneself, no subsidy: points with a profit", "percent of points", 0.0),
    "17 wash, subsidised": Bar("the same under the formula of subsidies", "share of fees", 0.0, below=True),
    "18 vouchers": Bar("vouchers replayed, spent at once, altered: double serves", "of 10,000 tries", 0.0),
    "19 wrong by one": Bar("roots wrong by one unit that pass", "of 1,000 roots", 0.0),
    "19 withheld": Bar("roots without their data that pass", "of 1,000 roots", 0.0),
    "19 honest voided": Bar("honest roots that do not pass", "of 1,000 roots", 0.0),
    "26 farmers, pay": Bar("30% of accounts mix 1 - 5 and 9: all their pay", "percent of pay", 5.0, below=True),
    "26 farmers, net": Bar("the same less what they are slashed", POINTS, 5.0, below=True),
    "26 honest loss": Bar("what honest owners lose to them", "percent of their pay", 3.0, below=True),
    "A chosen filler": Bar("early filler chosen against the reference and guessed queries", POINTS, 5.0),
    "A blends": Bar("blends of seen records, chosen on guessed queries", POINTS, 3.0),
    "A climbed filler": Bar("early filler, climbed uphill by the rule at home", POINTS, 5.0),
    "A climbed paraphrases": Bar("paraphrases, climbed uphill by the rule at home", POINTS, 3.0),
    "A probed labels, net": Bar("wrong labels that pass the check at home: what they earn", POINTS, 0.0, below=True),
    "A probed labels, accuracy": Bar("the same: accuracy lost", "points of accuracy", 2.0),
    "A timed sybil": Bar("honest records committed first in every turn, on 50 ids", POINTS, 1.0),
    "A slow poison, net": Bar("1% of a turn's records name one label for another", POINTS, 0.5),
    "A slow poison, success": Bar("the same: how often the model does too", "percent of that label's queries", 5.0),
}


@dataclass(frozen=True, slots=True)
class Group:
    """Attacks that share a setting: ``attacks`` by name measure rows with a seed, at a share of the full size.

    ``parts`` of the package and ``modules`` of the arena are the sources that the group's figures follow from.
    """

    attacks: dict[str, Callable[[int, float], Measured]]
    parts: tuple[str, ...]
    modules: tuple[str, ...]
    seeds: int = SEEDS
    size: float = 1.0  # of the full world, where the attack is too slow for that


@lru_cache(maxsize=1)
def world_of(corpus: str, seed: int, share: float) -> World:
    """Return the world of ``seed`` at ``share`` of its full size; what it computed is kept for the next attack."""
    found, size = (clinc150(), CLINC150) if corpus == "clinc150" else (newsgroups(), NEWSGROUPS)
    records, queries, reference = (round(n * share) for n in (size.records, size.queries, size.reference))
    return World(found, replace(size, records=records, queries=queries, reference=reference), seed)


def in_world(corpus: str, attack: Callable[[World], Measured]) -> Callable[[int, float], Measured]:
    """Return ``attack`` as a measure of the world of a seed."""
    return lambda seed, share: attack(world_of(corpus, seed, share))


def alone(attack: Callable[[int], Measured]) -> Callable[[int, float], Measured]:
    """Return an attack that plays in no world as a measure."""
    return lambda seed, _: attack(seed)


def data_group(corpus: str, attacks: Iterable[Callable[[World], Measured]]) -> Group:
    """Return the group of attacks on the pay for data in worlds of ``corpus``."""
    named = {attack.__name__: in_world(corpus, attack) for attack in attacks}
    return Group(
        named,
        ("core", "learn", "prove", "reward", "value"),
        ("adaptive_attacks", "data_attacks", "paraphrase", "rating_attacks", "rewriting_attacks", "texts", "world"),
    )


DATA = (*data_attacks.ATTACKS, *rewriting_attacks.ATTACKS, *adaptive_attacks.ATTACKS)


GROUPS: dict[str, Group] = {
    "clinc150": data_group("clinc150", DATA),
    "newsgroups": data_group("newsgroups", DATA),
    "model": Group(
        {"by_model": in_world("clinc150", rewriting_attacks.by_model)},
        ("core", "learn", "prove", "reward", "value"),
        ("data_attacks", "language_model", "rewriting_attacks", "texts", "world"),
        seeds=3,
        size=0.3,
    ),
    "rating": Group({"rating": alone(rating_attacks.rating)}, ("core", "value"), ("rating_attacks",), MANY),
    "judging": Group({"judging": alone(judging_attacks.judging)}, ("core", "value"), ("judging_attacks",), MANY),
    "money": Group(
        {"money": alone(money_attacks.money)},
        ("core", "market", "reward", "serve", "value"),
        ("money_attacks", "texts"),
    ),
    "identity": Group(
        {"lifting": alone(lifting_attacks.lifting)},
        ("collect", "core", "prove", "vault"),
        ("lifting_attacks", "texts"),
    ),
    "payments": Group(
        {"vouchers": alone(voucher_attacks.vouchers)},
        ("chain", "core", "market", "store"),
        ("stands", "voucher_attacks"),
    ),
    "audit": Group({"roots": alone(root_attacks.roots)}, ("core", "reward", "value"), ("root_attacks", "stands")),
}


def rows_of(corpus: str, measured: list[Measured], share: float = 1.0) -> list[Row]:
    """Return the rows of what each seed ``measured``."""
    rows = []
    for name in measured[0]:
        values = np.array([found[name][0] for found in measured])
        naive = float(np.mean([found[name][1] for found in measured]))
        mean, bar = float(values.mean()), BARS[name]
        width = float(student.ppf(0.975, len(values) - 1)) if values[1:].size else 0.0
        spread = width * float(values.std(ddof=1)) / len(values) ** 0.5 if width else 0.0
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


def hash_of(paths: Iterable[Path]) -> str:
    """Return SHA-256 over files, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def sources_of(group: Group) -> list[Path]:
    """Return the sources that a group's figures follow from."""
    package = ROOT / "src" / "rodagila"
    own = [ROOT / "arena" / f"{name}.py" for name in group.modules]
    return own + [path for part in group.parts for path in (package / part).rglob("*.py")]


def code_hash() -> str:
    """Return SHA-256 over the sources that the rows follow from: the arena's own and those of every group."""
    own = set((ROOT / "arena").glob("*.py"))
    return hash_of(own.union(*(sources_of(group) for group in GROUPS.values())))


@dataclass(frozen=True, slots=True)
class Job:
    """One attack of one group with one seed; ``sources`` is the hash of what its figures follow from."""

    group: str
    attack: str
    seed: int
    share: float
    sources: str

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        return KEPT / self.group / f"{self.attack}-{self.seed}-{self.share:g}-{self.sources[:16]}.json"

    def kept(self) -> Measured | None:
        """Return the kept result, None if there is none."""
        if not self.path.exists():
            return None
        measured = json.loads(self.path.read_text("utf-8"))["measured"]
        return {name: (fair, naive) for name, (fair, naive) in measured.items()}

    def seconds(self) -> float:
        """Return how long it took, once it is kept."""
        return float(json.loads(self.path.read_text("utf-8"))["seconds"])


def measure(job: Job) -> tuple[Measured, float]:
    """Run a job, keep what it measured, written whole or not at all, and return it with the seconds that it took."""
    started = time.perf_counter()
    measured = GROUPS[job.group].attacks[job.attack](job.seed, job.share)
    seconds = time.perf_counter() - started
    job.path.parent.mkdir(parents=True, exist_ok=True)
    beside = job.path.with_suffix(".new")
    beside.write_text(json.dumps({"measured": measured, "seconds": round(seconds, 1)}), encoding="utf-8")
    beside.replace(job.path)
    return measured, seconds


def on_one_thread() -> None:
    """Keep a process of the pool on one thread, so that processes do not fight for cores."""
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    torch.set_num_threads(1)


def run_jobs(jobs: list[Job], processes: int) -> dict[Job, Measured]:
    """Return what all ``jobs`` measured, those of one seed one after the other; says on stderr what is done."""
    found: dict[Job, Measured] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=on_one_thread) as pool:
        waiting = {pool.submit(measure, job): job for job in jobs}
        for number, future in enumerate(as_completed(waiting), 1):
            job = waiting[future]
            found[job], seconds = future.result()
            said = f"{number}/{len(jobs)} {job.group} {job.attack}, seed {job.seed}: {seconds:.0f} s"
            print(said, file=sys.stderr, flush=True)
    return found


def prepare(groups: Iterable[str], processes: int) -> None:
    """Embed the corpora of ``groups`` here, by so many processes, so that the attacks find them in the memory."""
    texts.PROCESSES = processes
    if {"clinc150", "model"} & set(groups):
        clinc150()
    if "newsgroups" in groups:
        newsgroups()


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
    shown = [row for row in rows if row["unit"] in SHOWN]

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


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_model() -> bool:
    """Tell whether there is a language model here; says on stderr why not."""
    try:
        language_model.loaded()
    except language_model.ModelMissing as error:
        print(f"model is skipped: {error}", file=sys.stderr)
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Run the groups, keep and print the rows; the exit status is 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("group", nargs="*", help=f"run only these of: {', '.join(GROUPS)}")
    parser.add_argument("--seeds", type=int, help=f"of each group; by default {SEEDS}, or {MANY} where they are quick")
    parser.add_argument("--processes", type=int, default=cores(), help="by default one a core")
    parser.add_argument("--fresh", action="store_true", help="measure again what is kept from an earlier run")
    parser.add_argument(
        "--share", type=float, default=1.0, help="share of the full size of the worlds, for a quick look"
    )
    given = parser.parse_args(arguments)
    groups = given.group or list(GROUPS)
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    groups = [name for name in groups if name != "model" or has_model()]
    jobs = [
        Job(name, attack, seed, given.share * GROUPS[name].size, hash_of(sources_of(GROUPS[name])))
        for name in groups
        for seed in range(1, (given.seeds or GROUPS[name].seeds) + 1)
        for attack in GROUPS[name].attacks
    ]
    measured = {job: found for job in jobs if not given.fresh and (found := job.kept()) is not None}
    missing = [job for job in jobs if job not in measured]
    if measured:
        print(f"{len(measured)} of {len(jobs)} measures are kept from an earlier run", file=sys.stderr)
    if missing:
        prepare({job.group for job in missing}, given.processes)
        measured |= run_jobs(missing, given.processes)
    spent = sum(job.seconds() for job in jobs)
    print(f"{len(jobs)} measures took {spent:,.0f} s of one process together", file=sys.stderr)
    rows = []
    for name in groups:
        by_seed: dict[int, Measured] = {}
        for job in jobs:
            if job.group == name:
                by_seed.setdefault(job.seed, {}).update(measured[job])
        rows += rows_of(name, list(by_seed.values()), given.share * GROUPS[name].size)
    return report(rows, groups)


def report(measured: list[Row], groups: list[str]) -> int:
    """Put the rows of ``groups`` in place of those kept, draw and print all; 1 if a bar was missed."""
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"rows": []}
    rows = [row for row in before["rows"] if row["corpus"] not in groups] + measured
    rows.sort(key=order_of)
    RESULTS.write_text(json.dumps({"code": code_hash(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    PLOT.write_text(plot(rows), encoding="utf-8")
    print(table(rows))
    missed = [row for row in rows if not row["met"]]
    unsure = [row for row in rows if row["met"] and not BARS[row["id"]].met(row["high"])]
    for row in unsure:
        print(f"UNSURE {row['corpus']} {row['id']}: {row['value']} keeps {row['bar']}, its interval does not")
    for row in missed:
        print(f"MISSED {row['corpus']} {row['id']}: {row['value']} where {row['bar']} is asked")
    print(f"{len(rows) - len(missed)} of {len(rows)} bars are kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
