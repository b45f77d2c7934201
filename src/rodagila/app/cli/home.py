"""``roda home``: the whole home in one file, and a home from such a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import Expanded, home_option, json_option
from rodagila.app.cli.output import emit


@click.group(cls=Nouns)
def home() -> None:
    """Snapshot and restore a home."""


@home.command("snapshot")
@click.argument("file", type=Expanded())
@home_option
@json_option
def snapshot(*, file: Path, home: Path, as_json: bool) -> None:
    """Write the home into the new FILE, also while it is in use.

    FILE holds the keys as they are: a key made with --plain can be read in it.
    """
    from rodagila.app.progress import progress_on_stderr
    from rodagila.app.snapshots import take_snapshot

    with progress_on_stderr().stage("Snapshot") as stage:
        found = take_snapshot(home, file, stage.advance)
    emit({"file": str(file), **asdict(found)}, as_json)


@home.command("restore")
@click.argument("file", type=Expanded())
@click.option("--digest", metavar="HEX", help="What the snapshot printed: refuse any other file.")
@home_option
@json_option
def restore(*, file: Path, digest: str | None, home: Path, as_json: bool) -> None:
    """Make a home from the snapshot FILE; it must not exist yet.

    Two homes of one moment must not both go on: their accounts would sign different things.
    """
    from rodagila.app.progress import progress_on_stderr
    from rodagila.app.snapshots import restore_snapshot

    with progress_on_stderr().stage("Restore") as stage:
        found = restore_snapshot(file, home, digest, stage.advance)
    emit({"home": str(home), **asdict(found)}, as_json)
