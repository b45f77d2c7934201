"""Hold Slither's findings against their explanations in ``findings.json``: every finding must have a reason there.

A finding is known by its detector and the functions, variables or contracts that it names, so that it keeps its
reason when lines move; a reason under the detector's name alone explains all of its findings. An explanation whose
finding is gone must go too.

    python contracts/findings.py            # after: forge build --build-info --skip test
    python contracts/findings.py --slither .slither/bin/slither

Slither is a tool of its own environment (it is not a part of the package): ``make contracts-findings`` installs it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parent
REASONS = CONTRACTS / "findings.json"


def findings(slither: str) -> list[tuple[str, str, str]]:
    """Return (key, impact, description) of every finding in our own sources, sorted."""
    forge = sorted(CONTRACTS.glob("node_modules/@foundry-rs/forge-*/bin"))[0]
    environment = os.environ | {"PATH": f"{forge}{os.pathsep}{os.environ['PATH']}"}
    command = [
        slither,
        ".",
        "--ignore-compile",
        "--exclude-dependencies",
        "--filter-paths",
        "node_modules",
        "--json",
        "-",
    ]
    done = subprocess.run(command, cwd=CONTRACTS, env=environment, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        raise SystemExit(f"Slither gave no report: {done.stderr[-2000:]}") from error
    if not report["success"]:
        raise SystemExit(f"Slither failed: {report['error']}")
    found = {
        (key_of(item), item["impact"], item["description"].split("\n")[0]) for item in report["results"]["detectors"]
    }
    return sorted(found)


def key_of(finding: dict[str, Any]) -> str:
    """Return the detector and what the finding is about, without lines."""
    names = [
        _path(element)
        for element in finding["elements"]
        if element["type"] in ("function", "variable", "contract", "event")
    ]
    return f"{finding['check']}: {', '.join(dict.fromkeys(names))}"


def _detector(key: str) -> str:
    return key.split(":", maxsplit=1)[0]


def _path(element: dict[str, Any]) -> str:
    parent = element.get("type_specific_fields", {}).get("parent", {})
    within = parent if parent.get("type") in ("contract", "function") else {}
    return f"{_path(within)}.{element['name']}" if within else str(element["name"])


def main() -> int:
    """Say which findings have no reason and which reasons no finding; return 1 if there is any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slither", default="slither", help="the command")
    found = findings(parser.parse_args().slither)
    reasons = json.loads(REASONS.read_text("utf-8")) if REASONS.exists() else {}
    keys = {key for key, _, _ in found}
    unexplained = [entry for entry in found if not (reasons.get(entry[0]) or reasons.get(_detector(entry[0])))]
    stale = sorted(set(reasons) - keys - {_detector(key) for key in keys})
    for key, impact, text in unexplained:
        print(f"unexplained ({impact}): {key}\n    {text}")
    for key in stale:
        print(f"no longer found: {key}")
    print(f"{len(keys)} findings, {len(unexplained)} unexplained, {len(stale)} explanations without a finding")
    return int(bool(unexplained or stale))


if __name__ == "__main__":
    sys.exit(main())
