"""A group of words: one that is not among them is answered with the nearest, none at all with the help."""

from __future__ import annotations

from typing import Any

import click

from monitor.mistakes import nearest

UNUSABLE = 3  # 2 would tell a plugin host that the database is down


class Words(click.Group):
    """Wrong words end with 3, in the shape of every mistake: wanted, found, next."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        attrs["no_args_is_help"] = False  # click's own answer differs from release to release
        super().__init__(*args, **attrs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not self.invoke_without_command:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(UNUSABLE)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word, known = args[0] if args else "", self.list_commands(ctx)
        if word and not word.startswith("-") and word not in known:
            near = nearest(word, known)
            step = f". Next: did you mean {near}?" if near else ""
            ctx.fail(f"wanted one of {', '.join(known)}, found {word!r}{step}")
        return super().resolve_command(ctx, args)
