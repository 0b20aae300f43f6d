"""What commands that print tables share: lines without padding, and characters that the terminal has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console

# For a terminal whose encoding does not have them.
_ASCII = str.maketrans({"→": "->", "·": "-", "–": "-", "…": "...", "✗": "x", "✓": "+", "▲": "!", "✉": ">"})


def can_show(console: Console, text: str) -> bool:
    """Whether the console's encoding has all these characters."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@contextmanager
def unpadded_console() -> Iterator[Console]:
    """A console whose lines are printed at the end, without the blanks that pad them to its width."""
    console = Console(file=sys.stdout, highlight=False)
    with console.capture() as captured:
        yield console
    text = without_padding(captured.get())
    click.echo(text if can_show(console, text) else text.translate(_ASCII), color=True)


def without_padding(text: str) -> str:
    """The lines without the blanks at their ends."""
    return "\n".join(line.rstrip() for line in text.splitlines())
