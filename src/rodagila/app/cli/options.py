"""Options that many commands share, so that they have one name, one meaning and one help text.

>>> amount_type.convert("0.002", None, None)
2000
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rodagila.core.errors import InvalidInput
from rodagila.core.money import parse_amount

DEFAULT_HOME = Path("~/.rodagila")
DEFAULT_PORT = 8402
LEDGER_META = "rodagila.ledger"
"""Where a command's click context holds the node's address."""

Command = TypeVar("Command", bound=Callable[..., Any])


class Amount(click.ParamType[int]):
    """Decimal text such as 0.002, as atomic units."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the atomic units of ``value``."""
        if isinstance(value, int):
            return value
        try:
            return parse_amount(str(value))
        except InvalidInput as error:
            self.fail(str(error), param, ctx)


class Expanded(click.Path):
    """A path whose leading ~ is the user's directory."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the expanded ``Path``."""
        return super().convert(str(Path(value).expanduser()), param, ctx)


def complete_key(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the home's keys that begin with ``incomplete``, for shells."""
    home = context.params.get("home") or os.environ.get("RODA_HOME") or DEFAULT_HOME
    names = (path.stem for path in (Path(home).expanduser() / "keys").glob("*.json"))
    return sorted(name for name in names if name.startswith(incomplete))


def _remember_ledger(context: click.Context, parameter: click.Parameter, url: str | None) -> None:
    """Keep the node's address for ``session.open_home``, so that no command has to hand it on."""
    context.meta[LEDGER_META] = url


amount_type = Amount()
ledger_option = click.option(
    "--ledger",
    metavar="URL",
    envvar="RODA_LEDGER",
    show_envvar=True,
    expose_value=False,
    callback=_remember_ledger,
    help="JSON-RPC address of the chain to use in place of the embedded ledger.",
)
_home_option = click.option(
    "--home",
    type=Expanded(file_okay=False),
    default=DEFAULT_HOME,
    envvar="RODA_HOME",
    show_envvar=True,
    show_default=True,
    help="Directory with keys, ledger and data.",
)


def home_option(command: Command) -> Command:
    """Give a command the options that say which home it works on, and on which chain that home is."""
    return _home_option(ledger_option(command))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON; errors too.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done; sign, pay and change nothing.")
dao_option = click.option("--dao", required=True, metavar="NAME", help="The DAO, by its name in this home.")
any_dao_option = click.option("--dao", metavar="NAME", help="Only this DAO; without it, every DAO of the home.")
key_option = click.option(
    "--key", required=True, metavar="NAME", shell_complete=complete_key, help="The account, by its name in this home."
)
turn_option = click.option("--turn", type=click.IntRange(min=1), help="Only this turn.")
channel_option = click.option(
    "--channel",
    type=Expanded(dir_okay=False),
    help="Pay by the payment channel that this file keeps; it is opened if there is none.",
)
deposit_option = click.option(
    "--deposit",
    type=amount_type,
    default="0.1",
    show_default=True,
    help="What a channel is opened or filled with, like 2.5.",
)
