"""What a command prints on stdout: JSON for programs, aligned tables for people.

Operations return JSON values with money in atomic units; ``rodagila.app.display`` formats them here, at the edge.

>>> emit({"paid": 1_500_000}, False)
paid  1.5
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from rodagila.app.display import TOKENS, cell, printable

UNLIMITED = 10_000  # columns when stdout is not a terminal: data is never folded or cut


def emit(value: Any, as_json: bool, *columns: str) -> None:
    """Print ``value`` as JSON, or as a table (a list of objects) or facts (an object); ``columns`` choose and order.

    An object with a ``text`` says itself what people should read.
    """
    if as_json:
        click.echo(json.dumps(value, indent=2))
    elif isinstance(value, list):
        show_table(value, columns)
    elif "text" in value:
        click.echo(printable(str(value["text"])))
    else:
        show_facts(value, columns)


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Print ``rows`` with a heading, numbers to the right; nothing but a word if there are none."""
    if not rows:
        click.echo("none")
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    keys = [key for key in columns or rows[0] if any(key in row for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for key in keys:
        numeric = key in TOKENS or all(is_number(row.get(key)) for row in rows)
        table.add_column(title(key), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(key, row.get(key))) for key in keys))
    console = _console()
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def show_facts(body: Mapping[str, Any], columns: Sequence[str] = (), indent: str = "") -> None:
    """Print one object, a fact a line; lists of objects become tables below their name."""
    keys = [key for key in columns or body if key in body]
    width = max((len(title(key)) for key in keys), default=0)
    for key in keys:
        value = body[key]
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            click.echo(f"{indent}{title(key)}")
            show_table(value)
        elif isinstance(value, Mapping) and value:
            click.echo(f"{indent}{title(key)}")
            show_facts(value, indent=indent + "  ")
        else:
            click.echo(f"{indent}{title(key):<{width}}  {cell(key, value)}")


def title(key: str) -> str:
    """Return the heading of a JSON key."""
    return printable(key.removesuffix("_ppm").replace("_", " "))


def is_number(value: Any) -> bool:
    """Tell whether ``value`` is aligned to the right."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _console() -> Any:
    import sys

    from rich.console import Console

    width = None if sys.stdout.isatty() else UNLIMITED
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
