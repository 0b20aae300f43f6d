"""Reads what was asked for and gives it in the form that was asked for: terminal, JSON, CSV or a page in a file.

What was asked is understood in `report_options`; each form stands in its own file.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from monitor.alerts.notification import format_time
from monitor.cli.options import fail, unknown_name
from monitor.cli.report.claim_reader import Reader, read_claim
from monitor.cli.report.claim_view import show_claim, show_terms
from monitor.cli.report.options import Asked, Form
from monitor.cli.report.view import can_show, show
from monitor.report.claim import claims_csv, claims_document
from monitor.report.csv_export import slices_csv
from monitor.report.formatting import format_name
from monitor.report.values import report_document
from monitor.store.rollups.model import History

_UMASK_KEPT = 0o666


def write_whole(path: Path, text: str) -> None:
    """Write UTF-8 text. Whoever reads meanwhile, and after any failure, finds the old file or the new one.

    A place where it cannot be written ends the program with status 3.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            fail(f"wanted a plain file for the report, found {path}, which is none. Next: name another")
        _replace(target, text)
    except OSError as error:
        found = (error.strerror or "an error").lower()
        fail(f"wanted to write {path}, found: {found}. Next: name another place")


def _replace(target: Path, text: str) -> None:
    """Beside the target first, because only there can the name be moved in one step."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(_mode(target))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _mode(target: Path) -> int:
    """That of the file which is replaced, or what any new file would get."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return _UMASK_KEPT & ~mask


_PAGE_WIDTH = 100
# For a terminal whose encoding has no letter for them.
_PLAIN = str.maketrans({"→": "->", "·": "-", "–": "-", "…": "..."})


def pick(names: Sequence[str], *, configured: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The databases to report: those named, or those of the settings.

    One that is in the history and no longer in the settings is reported when it is named. A name that nobody
    knows ends the program with status 3.
    """
    for name in names:
        if name not in known:
            fail(unknown_name(format_name(name), [format_name(one) for one in known], known_to="known are"))
    return tuple(dict.fromkeys(names or configured))


def answer(reader: Reader, databases: Sequence[str], asked: Asked, *, now: datetime) -> None:
    """Print the report of these databases, or write it. Raises what the reader raises."""
    if asked.month_end is not None and asked.form is not Form.HTML:
        _answer_claims(reader, databases, asked, asked.month_end, now)
        return
    histories = tuple(
        reader.history(
            name, start=asked.start, end=asked.end, grain=asked.grain, compare=asked.form is not Form.CSV
        )
        for name in databases
    )
    _require_checks(sum(history.whole.checks for history in histories), databases, asked)
    match asked.form:
        case Form.JSON:
            _print_json(report_document(histories, now=now))
        case Form.CSV:
            _print_csv(slices_csv(histories))
        case Form.HTML:
            claims = _claims(reader, databases, asked, asked.month_end) if asked.month_end else {}
            _write_page(histories, asked, now, claims)
        case Form.TERMINAL:
            with _printed() as console:
                for history in histories:
                    show(console, history, now=now)


def _answer_claims(
    reader: Reader, databases: Sequence[str], asked: Asked, month_end: datetime, now: datetime
) -> None:
    claims = [
        read_claim(reader, name, start=asked.start, end=asked.end, month_end=month_end) for name in databases
    ]
    _require_checks(sum(claim.checks for claim in claims), databases, asked)
    if asked.form is Form.JSON:
        month, vantage_point = asked.month or "", asked.vantage_point
        _print_json(claims_document(claims, month=month, vantage_point=vantage_point, now=now))
    elif asked.form is Form.CSV:
        _print_csv(claims_csv(claims, vantage_point=asked.vantage_point))
    else:
        with _printed() as console:
            for claim in claims:
                show_claim(console, claim, vantage_point=asked.vantage_point)
            show_terms(console)


def _require_checks(checks: int, databases: Sequence[str], asked: Asked) -> None:
    if not checks:
        span = f"{format_time(asked.start)} to {format_time(asked.end)}"
        step = "another month" if asked.month else "a longer --since"
        fail(f"wanted looks at {', '.join(map(format_name, databases))}, {span}, found none. Next: {step}")


def _claims(reader: Reader, databases: Sequence[str], asked: Asked, month_end: datetime) -> Mapping[str, str]:
    """The form for each database as plain lines, its terms included."""
    claims = {}
    for name in databases:
        console = Console(width=_PAGE_WIDTH, color_system=None, highlight=False)
        with console.capture() as captured:
            claim = read_claim(reader, name, start=asked.start, end=asked.end, month_end=month_end)
            show_claim(console, claim, vantage_point=asked.vantage_point)
            show_terms(console)
        claims[name] = "\n".join(line.rstrip() for line in captured.get().splitlines())
    return claims


def _write_page(histories: Sequence[History], asked: Asked, now: datetime, claims: Mapping[str, str]) -> None:
    from monitor.web.pages.report_page import render_report

    assert asked.html is not None  # noqa: S101 - the form says so
    write_whole(asked.html, render_report(histories, now=now, title=_title(asked), claims=claims))
    click.echo(f"{asked.html} written")


def _title(asked: Asked) -> str:
    span = f"{asked.start:%B %Y}" if asked.month else f"{asked.start:%d %b %Y} to {asked.end:%d %b %Y}"
    seen_from = f", seen from {asked.vantage_point}" if asked.vantage_point else ""
    return f"Upstash Redis, {span}{seen_from}"


@contextmanager
def _printed() -> Iterator[Console]:
    """A console whose lines are printed at the end, without the blanks that fill them up to its width."""
    console = Console(file=sys.stdout, highlight=False)
    with console.capture() as captured:
        yield console
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    click.echo(text if can_show(console, text) else text.translate(_PLAIN), color=True)


def _print_json(document: dict[str, object]) -> None:
    click.echo(json.dumps(document, indent=2))


def _print_csv(text: str) -> None:
    """As bytes, because the ends of its lines are part of the form."""
    click.echo(text.encode(), nl=False)
