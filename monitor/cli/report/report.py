"""The command `report`: uptime, gaps, latency, failures and incidents of a period; a month for an SLA claim."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os.path import realpath
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from monitor.cli.options import config_option, fail, fail_to_write, load_settings, require_known
from monitor.cli.report.terminal import show_claim, show_history, show_terms
from monitor.cli.terminal import unpadded_console, without_padding
from monitor.lib.files import replace_file
from monitor.lib.times import format_time, now_utc, parse_duration
from monitor.report.formatting import format_name
from monitor.report.overview import open_archive
from monitor.report.report import Period, Report, read_report
from monitor.report.values import report_csv, report_document
from monitor.store.errors import RefusedFileError
from monitor.store.rollups.model import Grain

DEFAULT_SINCE = "7d"
REGION_VARIABLE = "RAILWAY_REPLICA_REGION"

_BY_HOUR_UP_TO = timedelta(days=2)
# Every slice is a row that a person or a spreadsheet has to take.
_MOST_BY_HOUR = timedelta(days=92)
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_MOMENT_WANTED = "a duration ago such as 7d, or a time such as 2026-11-01 or 2026-11-01T14:00Z"
_EARLIEST_YEAR = 2000
_HTML_CLAIM_WIDTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the options of `report` come to. At most one format is set, none for the terminal."""

    period: Period
    as_json: bool = False
    as_csv: bool = False
    html: Path | None = None
    region: str | None = None


def parse(
    *,
    now: datetime,
    environ: Mapping[str, str],
    configured_region: str | None = None,
    since: str | None = None,
    until: str | None = None,
    by: str | None = None,
    month: str | None = None,
    region: str | None = None,
    as_json: bool = False,
    as_csv: bool = False,
    html: str | None = None,
) -> Options:
    """The options made into a period and a format. A mistake ends the program with status 3.

    `configured_region` is that of the settings: it counts where no `region` is given, and before the platform's.
    """
    formats = {"--json": as_json, "--csv": as_csv, "--html": html is not None}
    given = [option for option, is_given in formats.items() if is_given]
    if len(given) > 1:
        found = "both" if len(given) == 2 else "all of them"
        fail(f"wanted one of {', '.join(given)}, found {found}. Next: leave all but one out")
    if html == "":
        fail("wanted the name of a file after --html, found nothing. Next: --html report.html")
    if month is None:
        if region is not None:
            fail("wanted --region with --month, found it alone. Next: add --month 2026-10, or leave it out")
        period = _period(since, until, by, now)
    else:
        for option, value in (("--since", since), ("--until", until), ("--by", by)):
            if value is not None:
                fail(f"wanted --month or {option}, found both. Next: leave one out")
        period = _month(month, now)
        region = format_name(region or configured_region or environ.get(REGION_VARIABLE, "")) or None
    path = None if html is None else Path(html)
    return Options(period=period, as_json=as_json, as_csv=as_csv, html=path, region=region)


def _period(since: str | None, until: str | None, by: str | None, now: datetime) -> Period:
    end = now if until is None else _moment("--until", until, now)
    start = _moment("--since", since or DEFAULT_SINCE, now if since else end)
    if end > now:
        fail(f"wanted --until in the past, found {until!r}. Next: leave it out for a report up to now")
    if start >= end:
        fail(
            f"wanted --since before {'--until' if until else 'now'}, found {since!r}. "
            "Next: --since 7d, or a time further back"
        )
    length = end - start
    grain = (Grain.HOUR if length <= _BY_HOUR_UP_TO else Grain.DAY) if by is None else Grain(by)
    if grain is Grain.HOUR and length > _MOST_BY_HOUR:
        fail(
            f"wanted at most {_MOST_BY_HOUR.days} days by hour, found {length.days}. Next: --by day, or less time"
        )
    return Period(start=start, end=end, grain=grain)


def _moment(option: str, text: str, now: datetime) -> datetime:
    """A time, or a duration ago; a time without a zone is UTC."""
    try:
        moment = now - parse_duration(text)
    except (ValueError, OverflowError):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            fail(f"{option}: wanted {_MOMENT_WANTED}, found {text!r}. Next: {option} 7d")
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if moment.year < _EARLIEST_YEAR:
        fail(f"{option}: wanted a time after {_EARLIEST_YEAR}, found {text!r}. Next: {option} 365d")
    return moment.astimezone(UTC)


def _month(text: str, now: datetime) -> Period:
    """From the first instant of a month in UTC until the first of the next, or until now while it runs."""
    match = _MONTH.fullmatch(text)
    if match is None or not _EARLIEST_YEAR <= int(match[1]) < 9999:
        fail(f"--month: wanted a month such as 2026-10, found {text!r}. Next: --month 2026-10")
    year, month = int(match[1]), int(match[2])
    start = datetime(year, month, 1, tzinfo=UTC)
    month_end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    if start >= now:
        fail(f"wanted a month that has begun, found {text}. Next: --month {now:%Y-%m}")
    return Period(start=start, end=min(month_end, now), grain=Grain.DAY, month_end=month_end)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--since", metavar="WHEN", help=f"A duration ago or a time (UTC); {DEFAULT_SINCE} if left out.")
@click.option("--until", metavar="WHEN", help="The end of the period, likewise; now if left out.")
@click.option(
    "--by", type=click.Choice([grain.value for grain in Grain]), help="A row for each; by length if left out."
)
@click.option("--month", metavar="YYYY-MM", help="What an SLA claim for that month of UTC needs.")
@click.option(
    "--region",
    metavar="TEXT",
    help=f"Where it was seen from, for --month; else `region` of the settings, or ${REGION_VARIABLE}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--html", type=click.Path(), metavar="FILE", help="Write a page into one file that needs no other.")
@config_option
@click.pass_context
def command(context: click.Context, /, names: tuple[str, ...], **given: Any) -> None:
    """Report uptime, latency percentiles, failures by outcome, gaps and incidents."""
    settings = load_settings(context)
    now = now_utc()
    options = parse(now=now, environ=os.environ, configured_region=settings.region, **given)
    # Not Path.resolve, which raises for links that lead round in a circle.
    if options.html is not None and realpath(options.html) == realpath(settings.history.path.replace("\0", "")):
        fail(f"wanted a file for the page, found {options.html}, which is the history. Next: name another")
    try:
        with open_archive(settings, clock=now_utc) as archive:
            configured = [database.name for database in settings.databases]
            databases = chosen_names(names, configured=configured, known=archive.names())
            report = read_report(archive, databases, options.period, now=now, region=options.region)
    except RefusedFileError as error:
        fail(str(error))
    render(report, options)


def chosen_names(names: Sequence[str], *, configured: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The databases to report: those named, or those of the settings.

    One that is in the history and no longer in the settings is reported when it is named. A name that is in
    neither ends the program with status 3.
    """
    require_known("database", names, known)
    return tuple(dict.fromkeys(names or configured))


def render(report: Report, options: Options) -> None:
    """Print the report, or write it into the file that `--html` names. One without a check ends with status 3."""
    if not report.checks:
        databases = ", ".join(format_name(one.database) for one in report.databases)
        period = f"{format_time(report.period.start)} to {format_time(report.period.end)}"
        step = "a longer --since" if report.period.month_end is None else "another month"
        fail(f"wanted checks of {databases}, {period}, found none. Next: {step}")
    if options.html is not None:
        write_report(options.html, _html(report))
        click.echo(f"{options.html} written")
    elif options.as_json:
        click.echo(json.dumps(report_document(report), indent=2))
    elif options.as_csv:
        # As bytes, because RFC 4180 ends its lines with CR LF on every system.
        click.echo(report_csv(report).encode(), nl=False)
    else:
        with unpadded_console() as console:
            _show(console, report)


def write_report(path: Path, text: str) -> None:
    """Write the file as a whole. Where that cannot be done the program ends with status 3."""
    try:
        replace_file(path, text.encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        fail_to_write(path, error)


def _show(console: Console, report: Report) -> None:
    for one in report.databases:
        if one.claim is None:
            show_history(console, one.history, now=report.made_at)
        else:
            show_claim(console, one.database, one.claim, region=report.region)
    if report.period.month_end is not None:
        show_terms(console)


def _html(report: Report) -> str:
    from monitor.web.pages.pages import render_report

    claims = {}
    for one in report.databases:
        if one.claim is not None:
            console = Console(width=_HTML_CLAIM_WIDTH, color_system=None, highlight=False)
            with console.capture() as captured:
                show_claim(console, one.database, one.claim, region=report.region)
                show_terms(console)
            claims[one.database] = without_padding(captured.get())
    histories = [one.history for one in report.databases]
    return render_report(histories, now=report.made_at, title=_title(report), claims=claims)


def _title(report: Report) -> str:
    period = report.period
    month = f"{period.start:%B %Y}"
    span = f"{period.start:%d %b %Y} to {period.end:%d %b %Y}" if period.month_end is None else month
    seen_from = f", seen from {report.region}" if report.region else ""
    return f"Upstash Redis, {span}{seen_from}"
