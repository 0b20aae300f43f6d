"""Metrics sent to a Prometheus Pushgateway, by a program that ends before anybody could scrape it.

What is sent is made by `metrics`; how long it may take is said by whoever sends.
"""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

from monitor.core.secret import Secret
from monitor.outbound.line import NoAnswerError
from monitor.outbound.request import ask
from monitor.status.metrics import Exposition

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
