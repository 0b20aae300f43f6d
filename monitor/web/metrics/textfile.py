"""Metrics as a file, for the textfile collector of node_exporter and its kin.

What is in the file is made by `metrics`; here it is put in place.
"""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from monitor.lib.bounded_http.line import NoAnswerError
from monitor.lib.bounded_http.request import ask
from monitor.lib.files import replace_file
from monitor.lib.secret import Secret
from monitor.web.metrics.exposition import Exposition

# Readable for everybody: the collector runs as somebody else, and nothing in metrics is secret.
_MODE = 0o644


class CannotWriteError(Exception):
    """The file could not be written; the text says what was wanted, found, and what to do next."""


def write(path: Path, body: bytes) -> None:
    """Put the whole body under this name at once, so that no reader ever meets half of it.

    Raises `CannotWriteError`; the file that was there before is then still there. A link is followed; what is no
    plain file, such as a device, is left alone.
    """
    try:
        replace_file(path, body, mode=_MODE)
    except (OSError, ValueError, RuntimeError) as error:  # a name with a NUL, a ring of links
        found = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CannotWriteError(
            f"wanted to write metrics to {str(path)!r}, found: {found}. Next: name a file in a folder that can be "
            "written"
        ) from error


# No `instance`: whichever container ran the last round, they are the same monitor's figures. Who runs several
# monitors names more labels in the URL.
_GROUP = "/metrics/job/upstash-monitor"
_URL = re.compile(r"https?://[^\s\"'`<>?#]+", re.IGNORECASE)
_HAS_GROUP = re.compile(r"/metrics/job(@base64)?/[^/]")
_NEXT_STEPS = {
    HTTPStatus.BAD_REQUEST: "look into its log, it did not take what was sent",
    HTTPStatus.UNAUTHORIZED: "put user and password into the URL, https://USER:PASSWORD@HOST",
    HTTPStatus.FORBIDDEN: "see who may push there",
    HTTPStatus.NOT_FOUND: "check the path of the URL, and whether this is a Pushgateway",
}
_NEXT_STEP = "check the URL, and whether the Pushgateway is well"


class PushFailedError(Exception):
    """The metrics did not arrive. The text is short, in our own words, and holds nothing of the URL."""


class Pushgateway:
    """Where metrics are pushed to. Raises `ValueError`, without the URL, for what is not one.

    A URL without a path to a group gets `/metrics/job/upstash-monitor`; one that has `/metrics/job/…` in it is
    taken as it is, so that more labels can be given: `https://HOST/metrics/job/upstash-monitor/place/frankfurt`.
    """

    def __init__(self, url: str) -> None:
        self._url = Secret(_with_group(url))

    def push(self, exposition: Exposition, *, timeout: timedelta) -> None:
        """Replace what the gateway holds of this group; blocks at most `timeout`. Raises `PushFailedError`."""
        headers = {"Content-Type": exposition.content_type}
        try:
            answer = ask("PUT", self._url.reveal(), body=exposition.body, headers=headers, timeout=timeout)
        except NoAnswerError as error:
            raise PushFailedError(_mistake(str(error), _NEXT_STEP)) from None
        if not 200 <= answer.status < 300:
            step = next((said for status, said in _NEXT_STEPS.items() if status == answer.status), _NEXT_STEP)
            raise PushFailedError(_mistake(f"that it answered {answer.status}", step))


def _mistake(found: str, next_step: str) -> str:
    return f"wanted to push metrics to the Pushgateway, found {found}. Next: {next_step}"


def _with_group(url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = _URL.fullmatch(url) and parts.hostname and parts.port != 0
    except ValueError:
        fits = None
    if not fits:
        # `from None`, for the other one's text may hold a password.
        raise ValueError("wanted the URL of a Pushgateway, such as http://HOST:9091, without a query") from None
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if _HAS_GROUP.search(path) else path + _GROUP))
