"""How a ladder and its verdict look: on a terminal, and as the JSON document of `doctor --json`.

What they say is decided in `core`. Where a terminal cannot show symbols, words stand in their place.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.core.ladder import Ladder, Seen, State, hindrance
from monitor.core.verdict import NOBODY, Verdict

_MARKS = {
    State.PASSED: ("✓", "ok", "green"),
    State.FAILED: ("✗", "FAIL", "bold red"),
    State.SKIPPED: ("·", "-", "dim"),
    State.NOT_APPLICABLE: ("·", "-", "dim"),
    State.UNKNOWN: ("?", "?", "yellow"),
}
_QUIET = (State.SKIPPED, State.NOT_APPLICABLE)


def show(console: Console, ladder: Ladder, verdict: Verdict) -> None:
    """Print one database: the rungs from below, then the verdict, whose move it is, and the steps."""
    symbols = _can_show(console)
    console.print(Text(ladder.database, style="bold"))
    console.print(Padding(_rungs(ladder, symbols=symbols), (0, 0, 0, 2)))
    console.print(Padding(_framed(verdict, symbols=symbols), (0, 0, 1, 2)))


def document(ladder: Ladder, verdict: Verdict) -> dict[str, Any]:
    """One database of `doctor --json`; `took_ms` is `null` for a rung that was not tried."""
    return {
        "database": ladder.database,
        "rungs": [
            {
                "rung": seen.rung.value,
                "state": seen.state.value,
                "seen": _line(seen, ladder),
                "took_ms": None if seen.took_ms is None else round(seen.took_ms, 3),
                "outcome": None if seen.outcome is None else seen.outcome.value,
                "facts": sorted(fact.value for fact in seen.facts),
            }
            for seen in ladder.rungs
        ],
        "verdict": {**asdict(verdict), "code": verdict.code.value, "next_steps": list(verdict.next_steps)},
    }


def _rungs(ladder: Ladder, *, symbols: bool) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for seen in ladder.rungs:
        symbol, word, style = _MARKS[seen.state]
        quiet = "dim" if seen.state in _QUIET else ""
        table.add_row(
            Text(symbol if symbols else word, style=style),
            Text(seen.rung.words, style=quiet or ("bold" if seen.state is State.FAILED else "")),
            Text(_line(seen, ladder), style=quiet),
            Text("" if seen.took_ms is None else _say_ms(seen.took_ms), style="dim"),
        )
    return table


def _framed(verdict: Verdict, *, symbols: bool) -> RenderableType:
    colour = "green" if verdict.whose_move == NOBODY else "red"
    steps = Table.grid(padding=(0, 1, 0, 0))
    for number, step in enumerate(verdict.next_steps, start=1):
        steps.add_row(f"{number}.", Text(step))
    lines: list[RenderableType] = [
        Text(verdict.says, style="bold"),
        Text(f"whose move: {verdict.whose_move}", style=colour),
        steps,
    ]
    if not symbols:
        return Group(*lines)
    return Panel(Group(*lines), title="verdict", title_align="left", border_style=colour, expand=False)


def _line(seen: Seen, ladder: Ladder) -> str:
    if seen.seen or seen.state is not State.SKIPPED:
        return seen.seen
    below = hindrance(seen.rung, ladder.rungs)
    return "not tried" if below is None else f"not tried because of {below.words}"


def _say_ms(took_ms: float) -> str:
    return f"{took_ms:.1f} ms" if took_ms < 10 else f"{took_ms:,.0f} ms"


def _can_show(console: Console) -> bool:
    """Where the stream's encoding has no check mark, printing one would be an error."""
    try:
        "✓✗·╭".encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
