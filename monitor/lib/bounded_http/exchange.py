"""One request and its answer by means of `requests`: what of the environment is heeded, and errors renamed.

How long it may take is decided in `request`, which reads this file in with the first one.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import requests
import requests.adapters
import requests.auth
import requests.utils
import urllib3.exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from monitor.lib.bounded_http.line import Answer, Line, NoAnswerError, Request

_USER_AGENT = "upstash-monitor"
# What each kind of error, or of its reason, is called here; the narrower kind first.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (requests.exceptions.ProxyError, "the proxy of this environment does not let it through"),
    (requests.exceptions.SSLError, "no encrypted connection that can be trusted"),
    (requests.exceptions.ConnectTimeout, "no connection in time"),
    (requests.exceptions.Timeout, "no answer in time"),
    (requests.exceptions.ChunkedEncodingError, "the answer broke off"),
    (requests.exceptions.ContentDecodingError, "an answer that cannot be unpacked"),
    (requests.exceptions.InvalidSchema, "the proxy of this environment is of a kind that is not supported"),
    (requests.exceptions.InvalidProxyURL, "the proxy of this environment is not a URL"),
    (urllib3.exceptions.NameResolutionError, "the host name could not be looked up"),
    (urllib3.exceptions.ProtocolError, "no HTTP answer came back"),
    (requests.exceptions.ConnectionError, "no connection"),
)


def exchange(request: Request, line: Line, *, seconds: float) -> Answer:
    """Send, follow no redirect, and return the answer; raises `NoAnswerError`.

    `seconds` bounds a connection attempt and each silence, not the whole: whoever needs that cuts the line.
    """
    try:
        with (
            _session(line, request.url) as session,
            session.request(
                request.method,
                request.url,
                json=request.json,
                data=request.body,
                headers=request.headers,
                timeout=seconds,
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            return Answer(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=_read(response, request.limit_bytes).decode("utf-8", "replace"),
            )
    except Exception as error:  # noqa: BLE001 - the top of a climb: the message goes without an opinion
        said = _said(error)
    finally:
        line.let_go()
    raise NoAnswerError(said)  # out here, so that it does not even carry the other one as its context


def _said(error: Exception) -> str:
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else None
    for kind, words in _WORDS:
        if isinstance(error, kind) or isinstance(reason, kind):
            return words
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return "the certificates that this environment names cannot be read"
    return f"the request failed ({type(error).__name__})"


def _read(response: requests.Response, limit_bytes: int) -> bytes:
    body = b""
    for chunk in response.iter_content(4096):
        body += chunk
        if len(body) >= limit_bytes:
            break
    return body[:limit_bytes]


def _session(line: Line, url: str) -> requests.Session:
    """A session for one request, whose connections are reported to `line`.

    HTTP_PROXY and its like are heeded: where only a proxy leads outside, messages must go through it. A .netrc is
    not: it would send a stranger's password along. What the probes trust (SSL_CERT_FILE, SSL_CERT_DIR) is trusted
    here as well, unless REQUESTS_CA_BUNDLE says otherwise.
    """
    session = requests.Session()
    session.headers["User-Agent"] = _USER_AGENT
    session.auth = _auth_of(url)
    session.verify = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR") or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(line))
    return session


class _NoAuth(requests.auth.AuthBase):
    """Keeps `requests` from looking for a password by itself."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _auth_of(url: str) -> requests.auth.AuthBase:
    user, password = requests.utils.get_auth_from_url(url)
    return requests.auth.HTTPBasicAuth(user, password) if user or password else _NoAuth()


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, line: Line) -> None:
        self._pools = _pools(line)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # those have connections of their own kind
            manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(line: Line) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            connection = super()._new_conn()
            line.hold(connection)
            return connection

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            connection = super()._new_conn()
            line.hold(connection)
            return connection

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
