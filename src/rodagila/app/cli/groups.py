"""A group of commands that keeps their order and answers a mistyped word with the nearest one.

>>> Nouns("key").list_commands(None)
[]
"""

from __future__ import annotations

import difflib

import click


class Nouns(click.Group):
    """Commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context | None) -> list[str]:
        """Return the names in the order of their addition."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` name; raises ``UsageError`` with the nearest name."""
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.commands, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(self.commands)}."
            raise click.UsageError(f"There is no command {name!r} in {ctx.command_path}.{hint}", ctx)
        return super().resolve_command(ctx, args)
