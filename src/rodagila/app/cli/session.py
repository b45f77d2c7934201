"""What a command needs before it calls an operation: the open home and, for a sealed key, its passphrase.

>>> with open_home(Path("home")) as home:  # doctest: +SKIP
...     secret = passphrase_of(home, "ada")
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rodagila.app.cli.options import LEDGER_META
from rodagila.core.errors import InvalidInput, NotAuthorised

if TYPE_CHECKING:
    from rodagila.app.home import Home

VARIABLE = "RODA_PASSPHRASE"


def open_home(path: Path) -> Home:
    """Open the home at ``path``."""
    from rodagila.app.home import Home

    return Home.open(path, ledger_url=ledger_url())


def ledger_url() -> str | None:
    """Return the node's address that --ledger or RODA_LEDGER gave to this command."""
    context = click.get_current_context(silent=True)
    found: str | None = None if context is None else context.meta.get(LEDGER_META)
    return found


def new_passphrase(*, plain: bool) -> str | None:
    """Return the passphrase for a new key: RODA_PASSPHRASE, or asked twice on the terminal; None for a ``plain`` key.

    Raises ``InvalidInput`` (``usage``) if there is neither: a key is left unsealed only when that is asked for.
    """
    if plain:
        return None
    given = os.environ.get(VARIABLE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise InvalidInput(
            "usage",
            "A new key is sealed with a passphrase, and there is no terminal to ask on.",
            hint=f"Set {VARIABLE}, or give --plain for a key of a test.",
        )
    text: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return text


def passphrase_of(home: Home, key: str) -> str | None:
    """Return the passphrase of a stored key: RODA_PASSPHRASE, none if the key is plain, or asked on the terminal.

    Raises ``NotAuthorised`` if the key is sealed and there is nobody to ask.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return given
    try:
        home.keys.get(key)
    except NotAuthorised as error:
        if not sys.stdin.isatty():
            raise NotAuthorised(
                "passphrase_wrong", f"The key {key!r} is sealed and no passphrase is given.", hint=f"Set {VARIABLE}."
            ) from error
        text: str = click.prompt(f"Passphrase of {key}", hide_input=True, err=True)
        return text
    return None
