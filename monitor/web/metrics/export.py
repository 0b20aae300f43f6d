"""Where `check` leaves its metrics: a file for node_exporter's textfile collector, or a Pushgateway."""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from monitor.config.channel_values import web_url
from monitor.lib.bounded_http import NoAnswerError, ask
from monitor.lib.files import replace_file
from monitor.lib.secret import Secret
from monitor.web.metrics.exposition import Exposition

# Readable for everybody: the collector runs as somebody else, and nothing in metrics is secret.
_MODE = 0o644


class ExportError(Exception):
    """The metrics did not arrive: wanted, found, next; nothing of a URL, which may hold a password."""


def write(path: Path, body: bytes) -> None:
    """Put the whole body under this name at once, so that no reader ever sees half of it.

    Raises `ExportError`; a file that was there before is then unchanged. A symbolic link is followed; what is
    not a plain file, such as a device, is refused.
    """
    try:
        replace_file(path, body, mode=_MODE)
    except (OSError, ValueError, RuntimeError) as error:  # a name with a NUL, a ring of links
        found = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ExportError(
            f"wanted to write metrics to {str(path)!r}, found: {found}. Next: name a file in a folder that can be "
            "written"
        ) from error


# Without `instance`: whichever container ran the last round, the figures are of the same monitor. Whoever runs
# several monitors adds labels in the URL.
_GROUP = "/metrics/job/upstash-monitor"
_HAS_GROUP = re.compile(r"/metrics/job(@base64)?/[^/]")
_NEXT_STEPS = {
    HTTPStatus.BAD_REQUEST: "read its log, it did not accept what was sent",
    HTTPStatus.UNAUTHORIZED: "put user and password into the URL, https://USER:PASSWORD@HOST",
    HTTPStatus.FORBIDDEN: "see who may push there",
    HTTPStatus.NOT_FOUND: "check the path of the URL, and whether this is a Pushgateway",
}
_NEXT_STEP = "check the URL, and whether the Pushgateway works"


class Pushgateway:
    """Where metrics are pushed to. Raises `ValueError`, without the URL, for what is not one.

    A URL without a path to a group gets `/metrics/job/upstash-monitor`; one that has `/metrics/job/…` in it is
    taken as it is, so that more labels can be given: `https://HOST/metrics/job/upstash-monitor/place/frankfurt`.
    """

    def __init__(self, url: str) -> None:
        self._url = Secret(_with_group(url))

    def push(self, exposition: Exposition, *, timeout: timedelta) -> None:
        """Replace what the gateway holds of this group; blocks at most `timeout`. Raises `ExportError`."""
        headers = {"Content-Type": exposition.content_type}
        try:
            answer = ask("PUT", self._url.reveal(), body=exposition.body, headers=headers, timeout=timeout)
        except NoAnswerError as error:
            raise _not_pushed(str(error), _NEXT_STEP) from None
        if not 200 <= answer.status < 300:
            step = next((step for status, step in _NEXT_STEPS.items() if status == answer.status), _NEXT_STEP)
            raise _not_pushed(f"that it answered {answer.status}", step)


def _not_pushed(found: str, next_step: str) -> ExportError:
    return ExportError(f"wanted to push metrics to the Pushgateway, found {found}. Next: {next_step}")


def _with_group(url: str) -> str:
    try:
        parts = urlsplit(web_url(url))
    except ValueError:
        parts = None
    if parts is None or "?" in url or "#" in url:
        raise ValueError("wanted the URL of a Pushgateway, such as http://HOST:9091, without a query")
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if _HAS_GROUP.search(path) else path + _GROUP))
