"""Reading and previewing a ChatGPT export of 1 GiB: seconds by the clock and the highest memory of the process.

The export is generated from a seed under ``build/`` and deleted afterwards: conversations with branches, tools and
metadata as real ones have, words from a list, personal data in every fiftieth message. It is read out of a zip and as a
bare file, each in a process of its own that does what ``roda contribute --dry-run`` does: it reads all, keeps one
contribution, redacts it and shows three records. The peer is ``json.load`` of the bare file, which does nothing more.

Run: python benches/bench_exports.py [--json] [--mib 1024]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planted import MAKERS, planted

BUILD = Path(__file__).resolve().parent.parent / "build"
MIB = 2**20
SECONDS_BAR, MEMORY_BAR = 60, 512
SEED = 20_261_125
DISTINCT = 400
Row = dict[str, Any]


def words_of(rng: random.Random) -> list[str]:
    """Return made-up words."""
    return ["".join(rng.choice("aeiounrstlkmdgbp") for _ in range(rng.randrange(2, 10))) for _ in range(4_000)]


def conversation(rng: random.Random, words: list[str], number: int) -> dict[str, Any]:
    """Return one conversation as ChatGPT exports it."""
    nodes: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": []}}
    last, at = "root", 1_700_000_000 + number * 1_000
    for turn in range(rng.randrange(4, 30)):
        name = f"{number:08x}-{turn:04x}-4000-8000-{rng.getrandbits(48):012x}"
        role = ("user", "assistant")[turn % 2]
        text = " ".join(rng.choices(words, k=rng.randrange(10, 60) if role == "user" else rng.randrange(40, 400)))
        if rng.random() < 0.02:
            text += "\n" + planted(rng.choice(list(MAKERS)), 1, number * 100 + turn)[0][0]
        nodes[name] = {
            "id": name,
            "message": {
                "id": name,
                "author": {"role": role, "name": None, "metadata": {}},
                "create_time": at + turn + 0.25,
                "update_time": None,
                "content": {"content_type": "text", "parts": [text]},
                "status": "finished_successfully",
                "end_turn": True,
                "weight": 1.0,
                "metadata": {"model_slug": "gpt-4o", "request_id": name, "timestamp_": "absolute", "citations": []},
                "recipient": "all",
                "channel": None,
            },
            "parent": last,
            "children": [],
        }
        nodes[last]["children"].append(name)
        if rng.random() < 0.1:  # a first try that was given up
            nodes[f"{name}-old"] = {**nodes[name], "id": f"{name}-old", "children": []}
            nodes[last]["children"].insert(0, f"{name}-old")
        last = name
    return {"title": " ".join(rng.choices(words, k=4)), "create_time": at, "mapping": nodes, "current_node": last}


def pieces(size: int) -> Iterator[bytes]:
    """Yield the text of an export of at least ``size`` bytes."""
    rng = random.Random(SEED)
    words = words_of(rng)
    made = [json.dumps(conversation(rng, words, number)).encode() for number in range(DISTINCT)]
    written = 0
    yield b"["
    while written < size:
        piece = made[rng.randrange(DISTINCT)]
        yield (b", " if written else b"") + piece
        written += len(piece) + 2
    yield b"]"


def generate(folder: Path, size: int) -> dict[str, Path]:
    """Write the export as a bare file and as a zip; return both by name."""
    bare, packed = folder / "conversations.json", folder / "export.zip"
    with bare.open("wb") as file:
        for piece in pieces(size):
            file.write(piece)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("user.json", "{}")
        archive.write(bare, "conversations.json")
    return {"bare file": bare, "zip": packed}


def preview(path: Path) -> dict[str, Any]:
    """Read and preview an export in this process; return seconds, MiB of memory, and what was found."""
    start = time.monotonic()
    from rodagila.collect.export import read_export
    from rodagila.collect.preview import preview_of
    from rodagila.core.policy import RecordRules

    export = read_export(path, RecordRules())
    shown = preview_of((row.record for row in export.rows), 3)
    seconds = time.monotonic() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    found = {"records": export.total, "taken": len(export.rows), "bytes": shown.size, "redactions": shown.redactions}
    return {"seconds": seconds, "memory": memory, **found}


def peer(path: Path) -> dict[str, Any]:
    """Read the whole file by ``json.load``."""
    start = time.monotonic()
    with path.open("rb") as file:
        count = len(json.load(file))
    seconds = time.monotonic() - start
    return {"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024, "records": count}


def child(act: str, path: Path) -> dict[str, Any]:
    """Return what one act measured in a process of its own."""
    command = [sys.executable, __file__, "--act", act, "--path", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def rows_of(mib: int) -> list[Row]:
    """Return the rows of an export of ``mib`` MiB."""
    BUILD.mkdir(exist_ok=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        paths = generate(Path(folder), mib * MIB)
        theirs = child("peer", paths["bare file"]) if mib <= 1_024 else None
        for name, path in paths.items():
            ours = child("preview", path)
            print(f"{name}: {ours}", file=sys.stderr)
            for what, unit, bar in (("seconds", "s", SECONDS_BAR), ("memory", "MiB", MEMORY_BAR)):
                other = theirs[what] if theirs else None
                rows.append(
                    {
                        "name": f"preview of {mib:,} MiB of ChatGPT, {name}, {what}",
                        "value": round(ours[what], 1),
                        "unit": unit,
                        "peer": None if other is None else round(other, 1),
                        "ratio": None if other is None else round(ours[what] / other, 2),
                        "bar": bar,
                        "met": ours[what] <= bar,
                    }
                )
    return rows


def main() -> int:
    """Measure and print the rows; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON rows")
    parser.add_argument("--mib", type=int, default=1_024)
    parser.add_argument("--act", choices=("preview", "peer"))
    parser.add_argument("--path", type=Path)
    given = parser.parse_args()
    if given.act:
        print(json.dumps((preview if given.act == "preview" else peer)(given.path)))
        return 0
    rows = rows_of(given.mib)
    print(json.dumps(rows) if given.json else "\n".join(f"{row['name']}: {row['value']} {row['unit']}" for row in rows))
    return int(any(row["met"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
