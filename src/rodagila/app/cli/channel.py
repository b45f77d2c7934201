"""``roda channel``: a buyer's payment channels, and having back what is left in them."""

from __future__ import annotations

from pathlib import Path

import click

from rodagila.app.cli.groups import Nouns
from rodagila.app.cli.options import Expanded, dry_run_option, home_option, json_option, key_option
from rodagila.app.cli.output import emit
from rodagila.app.cli.session import open_home, passphrase_of

file_argument = click.argument("file", type=Expanded(dir_okay=False))


@click.group(cls=Nouns)
def channel() -> None:
    """See, close and leave payment channels."""


@channel.command("list")
@file_argument
@json_option
def list_(*, file: Path, as_json: bool) -> None:
    """List the channels in FILE, with what is left in each."""
    from rodagila.app.buying import channels_in

    emit(channels_in(file), as_json)


@channel.command("close", short_help="Have what is left back through the gateways.")
@file_argument
@key_option
@dry_run_option
@home_option
@json_option
def close(*, file: Path, key: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Ask the gateways for what is left in the channels of FILE; it comes back at once."""
    from rodagila.app.buying import channels_in, close_channels

    if dry_run:
        emit(channels_in(file), as_json)
        return
    with open_home(home) as opened:
        result = close_channels(file, opened.keys.get(key, passphrase_of(opened, key)))
    emit(result, as_json)


@channel.command("exit", short_help="Have it back at the contract, without a gateway.")
@file_argument
@key_option
@dry_run_option
@home_option
@json_option
def exit_(*, file: Path, key: str, dry_run: bool, home: Path, as_json: bool) -> None:
    """Take the money of FILE's channels at the contract, without a gateway: announce, wait, run again."""
    from rodagila.app.buying import channels_in, exit_channels

    if dry_run:
        emit(channels_in(file), as_json)
        return
    with open_home(home) as opened:
        result = exit_channels(opened, file, opened.keys.get(key, passphrase_of(opened, key)))
    emit(result, as_json)
