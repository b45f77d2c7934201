"""``roda key``: the accounts of this home.

A private key is read from a file or from stdin, never from an argument: arguments are seen by every process.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import new_passphrase, open_home
from rodagila.core.errors import InvalidInput

plain_option = click.option("--plain", is_flag=True, help="Leave the key unsealed on disk; for tests.")
SECRET_LIMIT = 4_096  # bytes; a key file is 66 bytes, a keystore about 500


@click.group(cls=Nouns)
def key() -> None:
    """Make, import and list accounts."""


@key.command("new")
@click.argument("name")
@plain_option
@home_option
@json_option
def new(*, name: str, plain: bool, home: Path, as_json: bool) -> None:
    """Make an account called NAME, its key sealed with a passphrase."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.key_new(opened, name, new_passphrase(plain=plain))
    emit(result, as_json)


@key.command("import")
@click.argument("name")
@click.option("--file", "source", type=click.File("rb"), default="-", help="File with the private key; - is stdin.")
@plain_option
@home_option
@json_option
def import_(*, name: str, source: BinaryIO, plain: bool, home: Path, as_json: bool) -> None:
    """Import a private key (64 hex digits) from a file or stdin as NAME."""
    from rodagila.app import operations

    secret = _secret(source)
    with open_home(home) as opened:
        result = operations.key_import(opened, name, secret, new_passphrase(plain=plain))
    emit(result, as_json)


@key.command("list")
@home_option
@json_option
def list_(*, home: Path, as_json: bool) -> None:
    """List the accounts with their addresses."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.key_list(opened)
    emit(result, as_json)


def _secret(source: BinaryIO) -> str:
    if source.isatty():
        typed: str = click.prompt("Private key", hide_input=True, err=True)
        return typed
    data = source.read(SECRET_LIMIT + 1)
    if len(data) > SECRET_LIMIT or not data.isascii():
        raise InvalidInput(
            "key_invalid", "What was given is not a private key of 64 hex digits.", hint="Give the file of one key."
        )
    return data.decode("ascii").strip()
