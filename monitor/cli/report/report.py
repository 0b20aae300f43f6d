"""The word `report`: uptime, gaps, latency, failures and incidents of a span; with `--month` what a claim needs.

What may be asked is in `report_options`, the forms of the answer in `report_answer`.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from monitor.cli.options import config_option, fail, load_settings
from monitor.cli.report.answer import answer, pick
from monitor.cli.report.options import DEFAULT_SINCE, VANTAGE_VARIABLE, Typed, understand
from monitor.engine.wiring import now_utc
from monitor.report.overview import open_archive
from monitor.store.errors import RefusedFileError
from monitor.store.rollups.model import Grain


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--since", metavar="WHEN", help=f"A duration ago or a time (UTC); {DEFAULT_SINCE} if left out.")
@click.option("--until", metavar="WHEN", help="The end of the span, likewise; now if left out.")
@click.option(
    "--by", type=click.Choice([grain.value for grain in Grain]), help="A row for each; by length if left out."
)
@click.option("--month", metavar="YYYY-MM", help="What an SLA claim for that month of UTC needs.")
@click.option("--vantage", metavar="TEXT", help=f"From where it was seen, for --month; else ${VANTAGE_VARIABLE}.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--html", metavar="FILE", help="Write a page into one file that needs no other.")
@config_option
@click.pass_context
def command(
    context: click.Context,
    names: tuple[str, ...],
    *,
    since: str | None,
    until: str | None,
    by: str | None,
    month: str | None,
    vantage: str | None,
    as_json: bool,
    as_csv: bool,
    html: str | None,
) -> None:
    """Report uptime, latency percentiles, failures by outcome, gaps and incidents."""
    settings = load_settings(context)
    now = now_utc()
    typed = Typed(
        since=since,
        until=until,
        by=by,
        month=month,
        vantage=vantage,
        as_json=as_json,
        as_csv=as_csv,
        html=html,
    )
    asked = understand(typed, now=now, environ=os.environ)
    path = Path(settings.history.path)
    if asked.html is not None and asked.html.resolve() == path.resolve():
        fail(f"wanted a file for the page, found {asked.html}, which is the history. Next: name another")
    try:
        with open_archive(settings, clock=now_utc) as reader:
            configured = [database.name for database in settings.databases]
            answer(reader, pick(names, configured=configured, known=reader.names()), asked, now=now)
    except RefusedFileError as error:
        fail(str(error))
