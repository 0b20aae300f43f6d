"""`check --metrics FILE` and `check --push URL`: where the figures of a round go, besides the answer.

What they say is made in `status/metrics`. Nothing that happens to them changes the verdict, which is given before.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.lib.deadline import Deadline
from monitor.store.rollups.model import Totals

if TYPE_CHECKING:
    from monitor.web.metrics.export import Pushgateway

    _FileParam = click.ParamType[Path]
    _PushParam = click.ParamType[Pushgateway]
else:
    _FileParam = _PushParam = click.ParamType

# What the round leaves for the push, of a short time at most a quarter, and what the push leaves for the end.
FOR_PUSH = timedelta(seconds=3)
_LONGEST_PUSH = timedelta(seconds=10)
_RESERVE = timedelta(seconds=1)


class _File(_FileParam):
    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if value in ("", "-"):
            self.fail("wanted the name of a file, found none", param, ctx)
        return Path(value)


class _Gateway(_PushParam):
    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pushgateway:
        from monitor.web.metrics.export import Pushgateway

        try:
            return Pushgateway(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


METRICS_FILE = _File()
PUSHGATEWAY = _Gateway()


def export(
    totals: Totals,
    names: tuple[str, ...],
    *,
    file: Path | None,
    gateway: Pushgateway | None,
    deadline: Deadline,
) -> None:
    """Write and push the figures of the databases of these names, or of all; tell on stderr what did not work."""
    try:
        for trouble in _export(_only(totals, names), file, gateway, deadline):
            click.echo(trouble, err=True)
    except Exception:
        # The verdict is out by now, and our bug must not end this process with another one's status.
        logging.getLogger(__name__).exception("exporting the metrics failed inside")


def _export(totals: Totals, file: Path | None, gateway: Pushgateway | None, deadline: Deadline) -> list[str]:
    # The client library and the rest of it cost 30 ms, which a check without metrics does not pay.
    from monitor.web.metrics.export import (
        CannotWriteError,
        PushFailedError,
        write,
    )
    from monitor.web.metrics.exposition import render

    troubles = []
    exposition = render(totals)
    if file is not None:
        try:
            write(file, exposition.body)
        except CannotWriteError as error:
            troubles.append(str(error))
    if gateway is not None:
        timeout = min(_LONGEST_PUSH, deadline.left(reserve=_RESERVE))
        try:
            gateway.push(exposition, timeout=timeout)
        except PushFailedError as error:
            troubles.append(str(error))
    return troubles


def _only(totals: Totals, names: tuple[str, ...]) -> Totals:
    """The rest was not looked at in this round: its series would say that it is as it was long ago."""
    chosen = tuple(row for row in totals.databases if not names or row.database in names)
    return replace(totals, databases=chosen)
