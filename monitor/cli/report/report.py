"""The command `report`: uptime, gaps, latency, failures and incidents of a period; a month for an SLA claim."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from os.path import realpath
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from monitor.cli.options import config_option, fail, fail_to_write, load_settings, require_known
from monitor.cli.report.options import DEFAULT_SINCE, REGION_VARIABLE, Options, parse
from monitor.cli.report.terminal import show_claim, show_history, show_terms
from monitor.cli.terminal import unpadded_console, without_padding
from monitor.lib.files import replace_file
from monitor.lib.times import format_time, now_utc
from monitor.report.csv_export import report_csv
from monitor.report.formatting import format_name
from monitor.report.overview import open_archive
from monitor.report.report import Report, read_report
from monitor.report.values import report_document
from monitor.store.errors import RefusedFileError
from monitor.store.rollups.model import Grain

_HTML_CLAIM_WIDTH = 100


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
