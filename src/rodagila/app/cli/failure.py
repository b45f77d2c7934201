"""How a failure reaches the caller: one sentence and a next step on stderr, or ``{"error": problem}`` on stdout.

The exit status is the error class's (``rodagila.core.errors``). An exception that is not a ``RodaError`` is a defect or
the machine's state: it becomes one sentence with the code ``unexpected``; ``RODA_DEBUG=1`` shows where it came from.

>>> problem_of(ValueError("x")).code
'unexpected'
"""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import click

from rodagila.app.display import printable
from rodagila.core.errors import InvalidInput, RodaError, Unreachable

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def debugging() -> bool:
    """Tell whether tracebacks are wanted."""
    return os.environ.get("RODA_DEBUG", "") not in ("", "0")


def problem_of(error: Exception) -> RodaError:
    """Return ``error`` as one of the exception tree."""
    if isinstance(error, RodaError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError) and error.errno in FULL:
        return Unreachable("disk_full", "The disk has no room left.", hint="Free some space and run it again.")
    if isinstance(error, OSError) and error.errno in FORBIDDEN:
        return Unreachable(
            "unreachable",
            f"{error.filename or 'A file'} may not be used: {error.strerror}.",
            hint="Give yourself the right to it, or another --home or --out.",
        )
    return RodaError(
        "unexpected",
        f"Something went wrong inside: {type(error).__name__}: {first_line(str(error))}.",
        hint="Run it again with RODA_DEBUG=1 to see where, and report it.",
    )


def report_failure(error: RodaError, as_json: bool) -> int:
    """Tell ``error`` to the caller and return the exit status."""
    if as_json:
        click.echo(json.dumps({"error": error.problem()}, indent=2))
        return error.exit_status
    click.echo(f"Error: {printable(error.message)}", err=True)
    if error.hint:
        click.echo(printable(f"  {error.hint}"), err=True)
    if error.code == "policy_invalid":
        _tell_the_others(error.details.get("problems", [])[1:])
    return error.exit_status


def _tell_the_others(problems: list[dict[str, Any]]) -> None:
    """Tell the problems of a policy after the first, which the message holds."""
    for problem in problems:
        where = ": ".join(filter(None, (f"line {problem['line']}" if problem["line"] else "", problem["field"])))
        click.echo(printable(f"{where}: {problem['problem']}.\n  {problem['fix']}"), err=True)


def first_line(text: str) -> str:
    """Return the first line of ``text``, without the full stop at its end and not longer than 200 characters."""
    return (text.strip().splitlines() or ["no details"])[0][:200].rstrip(".")


def _usage(error: click.ClickException) -> RodaError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = first_line(error.format_message())
    return InvalidInput(
        "usage",
        message + ("" if message.endswith("?") else "."),
        hint=f"See `{context.command_path} --help`." if context else "See `roda --help`.",
    )
