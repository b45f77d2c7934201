"""Read forge's coverage and hold every contract of ours to the bar: 95 in 100 lines and 95 in 100 branches.

forge coverage --report lcov --report-file lcov.info && python contracts/coverage.py
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

CONTRACTS = Path(__file__).resolve().parent
BAR = 0.95


def shares(lcov: str) -> dict[str, dict[str, tuple[int, int]]]:
    """Return (hit, all) lines and branches by source file of an lcov report."""
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    source, counts = "", {"LH": 0, "LF": 0, "BRH": 0, "BRF": 0}
    for line in lcov.splitlines():
        tag, _, value = line.partition(":")
        if tag == "SF":
            source = value
        elif tag in counts:
            counts[tag] = int(value)
        elif tag == "end_of_record" and source.startswith("src/"):
            found[source] = {"lines": (counts["LH"], counts["LF"]), "branches": (counts["BRH"], counts["BRF"])}
    return found


def main() -> int:
    """Print a line for each contract; return 1 if one misses the bar."""
    missed = False
    for source, kinds in sorted(shares((CONTRACTS / "lcov.info").read_text("utf-8")).items()):
        told = []
        for kind, (hit, every) in kinds.items():
            share = hit / every if every else 1.0
            missed |= share < BAR
            told.append(f"{kind} {hit}/{every} {share:.1%}{'' if share >= BAR else ' MISSED'}")
        print(f"{source}: {', '.join(told)}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
