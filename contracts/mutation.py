"""Mutation testing: change a contract in one place, and see whether its tests notice.

A mutant is killed if a test fails on it; one that does not compile is no mutant. What survives is either a gap in the
tests or says the same as the original: ``mutation.json`` lists survivors with the reason kept in ``survivors.json``, by
the line as it was and as it became. The share killed must be at least 90 in 100. ``of`` says how many mutants there
are, of which ``mutants`` were drawn and compiled.

    python contracts/mutation.py Rewards Channels Escrow        # after: npm install
    python contracts/mutation.py Rewards --sample 60 --seed 7   # a sample, for a first look

Operators: comparison, arithmetic and logical operators exchanged; a requirement dropped; a modifier dropped; a
statement dropped (assignment, call, emit); a truth value turned. Source: Offutt's sufficient operators, TSE 1996.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

CONTRACTS = Path(__file__).resolve().parent
RESULTS, REASONS = CONTRACTS / "mutation.json", CONTRACTS / "survivors.json"
BAR = 0.9
WORKERS = 2
SECONDS = 300
SWAPS = (
    (r" < ", (" <= ", " >= ")),
    (r" > ", (" >= ", " <= ")),
    (r" <= ", (" < ", " > ")),
    (r" >= ", (" > ", " < ")),
    (r" == ", (" != ",)),
    (r" != ", (" == ",)),
    (r" \+ ", (" - ",)),
    (r" - ", (" + ",)),
    (r" \* ", (" / ",)),
    (r" / ", (" * ",)),
    (r" \+= ", (" -= ", " = ")),
    (r" -= ", (" += ",)),
    (r" && ", (" || ",)),
    (r" \|\| ", (" && ",)),
    (r"\btrue\b", ("false",)),
    (r"\bfalse\b", ("true",)),
)
_MODIFIER = re.compile(r" (onlyOwner|onlyOperator|only\w+|nonReentrant)\b")
_STATEMENT = re.compile(r"^\s+(?=\S)(?!(?:return|require|revert|using|error|event)\b|/).*;$")
_DECLARES = re.compile(
    r"^\s*(?:\(?(?:u?int\d*|bool|address|bytes\d*|string|[A-Z]\w*)(?:\[\])*(?: (?:memory|storage|calldata))? \w+)"
)


_IMPORT = re.compile(r'from "(\.{1,2}/[^"]+\.sol)"')


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one line of a contract's source; ``line`` counts from 1."""

    contract: str
    line: int
    was: str
    became: str

    @property
    def key(self) -> str:
        """What identifies the change when lines move."""
        return f"{self.was.strip()} => {self.became.strip() or '(dropped)'}"


def mutants_of(contract: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of a contract's source; only bodies of functions and modifiers are changed."""
    depth, body = 0, False
    for number, line in enumerate(source.splitlines(), 1):
        code = line.split("//")[0].rstrip()
        starts = bool(re.match(r"\s+(function|modifier|constructor)\b", code))
        body = body or starts
        if body and not code.lstrip().startswith(("*", "/*")):
            for became in _changed(code):
                yield Mutant(contract, number, line, became)
        depth += code.count("{") - code.count("}")
        if body and depth <= 1 and code.strip().endswith(("}", ";")):
            body = False


def _changed(code: str) -> Iterator[str]:
    for pattern, others in SWAPS:
        for found in re.finditer(pattern, code):
            for other in others:
                yield code[: found.start()] + other + code[found.end() :]
    for found in _MODIFIER.finditer(code):
        yield code[: found.start()] + code[found.end() :]
    if found := re.match(r"(\s+require\()(.+?)(, \w+\(.*)$", code):
        yield f"{found[1]}true{found[3]}"
    if _STATEMENT.match(code) and not _DECLARES.match(code) and code.count("(") == code.count(")"):
        yield ""


def workspace(folder: Path, contract: str) -> Path:
    """Return a copy of the contracts' folder to change files in, with what the contract's own tests import alone."""
    place = folder / "contracts"
    shutil.copytree(CONTRACTS, place, ignore=shutil.ignore_patterns("node_modules", "out", "cache", ".*"))
    (place / "node_modules").symlink_to((CONTRACTS / "node_modules").resolve())
    needed = imported([path for path in (place / "test").glob(f"*{contract}*.sol") if "Gas" not in path.name])
    for path in (*place.glob("test/**/*.sol"), *place.glob("src/**/*.sol")):
        if path not in needed:
            path.unlink()
    return place


def imported(waiting: list[Path]) -> set[Path]:
    """Return these sources and all of ours that they import, directly or not."""
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [(path.parent / name).resolve() for name in _IMPORT.findall(path.read_text("utf-8"))]
    return found


def run_tests(place: Path, contract: str) -> tuple[str, str]:
    """Return what became of the tests: killed, survived, or invalid if the change does not compile; and why."""
    forge = sorted(place.glob("node_modules/@foundry-rs/forge-*/bin/forge"))[0]
    command = [
        forge,
        "test",
        "--match-path",
        f"test/*{contract}*",
        "--fail-fast",
        "--fuzz-runs",
        "64",
        "--fuzz-seed",
        "1",
    ]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "killed", "does not end"
    if "Compiler run failed" in done.stdout + done.stderr or "Error (" in done.stdout + done.stderr:
        return "invalid", ""
    return ("survived", "") if done.returncode == 0 else ("killed", "")


def judge(mutants: list[Mutant]) -> list[tuple[Mutant, str]]:
    """Return each mutant with what became of it; two workspaces work side by side."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        free: Queue[Path] = Queue()
        for number in range(WORKERS):
            free.put(workspace(Path(folder).resolve() / str(number), mutants[0].contract))

        def one(mutant: Mutant) -> tuple[Mutant, str]:
            place = free.get()
            path = place / "src" / f"{mutant.contract}.sol"
            original = path.read_text("utf-8")
            lines = original.splitlines()
            lines[mutant.line - 1] = mutant.became
            try:
                path.write_text("\n".join(lines) + "\n", "utf-8")
                return mutant, run_tests(place, mutant.contract)[0]
            finally:
                path.write_text(original, "utf-8")
                free.put(place)

        done = []
        for mutant, outcome in pool.map(one, mutants):
            done.append((mutant, outcome))
            print(
                f"{len(done)}/{len(mutants)} {outcome:9} {mutant.contract}:{mutant.line} {mutant.key}", file=sys.stderr
            )
        return done


def summary(contract: str, judged: list[tuple[Mutant, str]], reasons: dict[str, str]) -> dict[str, Any]:
    """Return the contract's row: how many mutants, how many killed, and each survivor with its reason."""
    valid = [(mutant, outcome) for mutant, outcome in judged if outcome != "invalid"]
    survivors = [mutant for mutant, outcome in valid if outcome == "survived"]
    return {
        "mutants": len(valid),
        "killed": len(valid) - len(survivors),
        "survivors": [
            {"line": one.line, "change": one.key, "why": reasons.get(f"{contract}: {one.key}", "")} for one in survivors
        ],
    }


def main() -> int:
    """Judge the contracts named; return 1 if one misses the bar or a survivor is unexplained."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("contract", nargs="+")
    parser.add_argument(
        "--sample", type=int, default=0, help="judge that many mutants of each contract, drawn by --seed"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    reasons = json.loads(REASONS.read_text("utf-8")) if REASONS.exists() else {}
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    failed = False
    for contract in given.contract:
        mutants = list(mutants_of(contract, (CONTRACTS / "src" / f"{contract}.sol").read_text("utf-8")))
        every = len(mutants)
        if given.sample and given.sample < every:
            mutants = random.Random(given.seed).sample(mutants, given.sample)  # noqa: S311 - a reproducible sample
        row = results[contract] = {"of": every, **summary(contract, judge(mutants), reasons)}
        unexplained = [one for one in row["survivors"] if not one["why"]]
        failed |= row["killed"] < BAR * row["mutants"] or bool(unexplained)
        print(f"{contract}: {row['killed']} of {row['mutants']} killed, {len(unexplained)} survivors unexplained")
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", "utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
