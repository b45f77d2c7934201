"""``roda key``: the accounts of this home.

A private key or a recovery phrase is read from a file or stdin, never from an argument: arguments are seen by every
process.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import home_option, json_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import new_passphrase, open_home, passphrase_of
from rodagila.core.errors import InvalidInput

plain_option = click.option("--plain", is_flag=True, help="Leave the key unsealed on disk; for tests.")
PHRASES_LIMIT = 65_536  # bytes; sixteen phrases have about 4,000
SECRET_LIMIT = 4_096  # bytes; a key file is 66 bytes, a keystore about 500


@click.group(cls=Nouns)
def key() -> None:
    """Make, import, back up, recover and list accounts."""


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


@key.command("backup", short_help="Print the recovery phrase of a key.")
@click.argument("name")
@click.option("--shares", "count", type=click.IntRange(1, 16), default=1, show_default=True, help="How many phrases.")
@click.option(
    "--threshold", type=click.IntRange(1, 16), help="How many of them give the key again; all, if it is left out."
)
@home_option
@json_option
def backup(*, name: str, count: int, threshold: int | None, home: Path, as_json: bool) -> None:
    """Print the key of NAME as words of SLIP-39 to write on paper; whoever reads enough of them has the key."""
    from rodagila.app import operations

    with open_home(home) as opened:
        result = operations.key_backup(opened, name, passphrase_of(opened, name), threshold or count, count)
    emit(result if as_json else {"text": "\n".join(result["phrases"])}, as_json)
    click.echo(
        "Write each phrase on its own paper and keep it where this device is not. It is stored nowhere.", err=True
    )


@key.command("recover", short_help="Bring a key back by its recovery phrase.")
@click.argument("name")
@click.option(
    "--file",
    "source",
    type=click.File("rb"),
    default="-",
    help="File with a phrase a line; - is stdin or the terminal.",
)
@plain_option
@home_option
@json_option
def recover(*, name: str, source: BinaryIO, plain: bool, home: Path, as_json: bool) -> None:
    """Bring a key back as NAME by its recovery phrase, or by as many phrases as its backup needs."""
    from rodagila.app import operations

    phrases = _phrases(source)
    with open_home(home) as opened:
        result = operations.key_recover(opened, name, phrases, new_passphrase(plain=plain))
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


def _phrases(source: BinaryIO) -> list[str]:
    if source.isatty():
        from rodagila.vault.recovery import needed_with

        phrases = [_typed_phrase("Recovery phrase")]
        needed = needed_with(phrases[0])
        return phrases + [_typed_phrase(f"Phrase {place} of {needed}") for place in range(2, needed + 1)]
    data = source.read(PHRASES_LIMIT + 1)
    if len(data) > PHRASES_LIMIT or not data.isascii():
        raise InvalidInput("phrase_invalid", "What was given is not recovery phrases.", hint="Give one phrase a line.")
    return [line for line in data.decode("ascii").splitlines() if line.strip()]


def _typed_phrase(prompt: str) -> str:
    typed: str = click.prompt(prompt, hide_input=True, err=True)
    return typed
