"""One HTTP request that nothing outlasts: not a slow lookup, not a host that drips a byte a second.

`requests` is imported with the first one, on its thread: most of the time nothing is sent, and it is 2 MB.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiohappyeyeballs import start_connection

from monitor.lib.process import exhausted_limit, own_limit
from monitor.lib.threads import start_on_thread
from monitor.lib.times import Deadline

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session
    from requests.adapters import HTTPAdapter
    from requests.auth import AuthBase
    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool

_USER_AGENT = "upstash-monitor"
_LEAST = timedelta(seconds=0.1)
_NEXT_ADDRESS_AFTER_SECONDS = 0.25
_MOST_INTERIM_ANSWERS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back: lower-case header names, and of the body no more than was asked for."""

    status: int
    headers: Mapping[str, str]
    body: str

    def json_object(self) -> dict[str, Any]:
        """The JSON object in the body; empty for anything else, such as a captive portal's page."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


class NoAnswerError(Exception):
    """Nothing whole came back. The text is short and our own: foreign ones hold the URL, which is a secret."""


def ask(
    method: str,
    url: str,
    *,
    timeout: timedelta,
    json: Any = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    limit_bytes: int = 64 * 1024,
) -> Answer:
    """Send one request, follow no redirect, and return within `timeout` by the wall clock.

    Of a host's addresses the next one is tried a quarter of a second after the last. What is sent is `json`, or
    `body`, whose type `headers` must tell. Of the answer's body no more than `limit_bytes` are read. Raises
    `NoAnswerError`. A connection that still stands at the end is cut, so that no thread stays behind with it; a
    lookup that hangs is left to end by itself.
    """
    if timeout <= timedelta(0):
        raise NoAnswerError("no time was left to send it")
    request = {"method": method, "url": url, "json": json, "data": body, "headers": headers}
    deadline = Deadline(timeout)
    connections = _Connections(deadline)
    answer = start_on_thread(lambda: _exchange(request, limit_bytes, connections, deadline), name="request")
    try:
        return answer.result(timeout=timeout.total_seconds())
    except TimeoutError:
        connections.cut()
        what = "the host name could not be looked up" if connections.is_looking_up else "no whole answer"
        raise NoAnswerError(f"{what} within {timeout.total_seconds():.3g} s") from None


class _Connections:
    """The connections of one request, held so that another thread can cut them.

    `is_looking_up` is true while the resolver is asked.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.is_looking_up = False
        self._deadline = deadline
        self._sockets: list[socket.socket] = []
        self._is_cut = False
        self._lock = threading.Lock()

    def open(self, client: HTTPConnection) -> socket.socket:
        """A connection to the client's host, or to its proxy; raises what urllib3's own attempt would.

        urllib3 gives each address the whole timeout, one after the other, so that one dead IPv6 address uses up
        the time (urllib3 issue 797).
        """
        from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

        try:
            connection = asyncio.run(self._connect(client))
        except (socket.gaierror, UnicodeError) as error:
            failure = error if isinstance(error, socket.gaierror) else socket.gaierror(socket.EAI_NONAME, "")
            raise NameResolutionError(client.host, client, failure) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(client, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(client, "no connection") from error
        connection.settimeout(client.timeout)
        self._hold(connection)
        return connection

    async def _connect(self, client: HTTPConnection) -> socket.socket:
        # Blocks this thread, which is the request's own; nobody else is in the loop.
        self.is_looking_up = True
        addresses = socket.getaddrinfo(client.host.strip("[]"), client.port, type=socket.SOCK_STREAM)
        self.is_looking_up = False
        async with asyncio.timeout(max(_LEAST, self._deadline.left()).total_seconds()):
            connection = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_SECONDS)
        for option in client.socket_options or ():
            connection.setsockopt(*option)
        return connection

    def _hold(self, connection: socket.socket) -> None:
        """Take note of a connection; one that comes after the cut is cut at once."""
        with self._lock:
            # A duplicate: encryption takes the original's file descriptor away.
            self._sockets.append(connection.dup())
            if self._is_cut:
                self._shut_down()

    def cut(self) -> None:
        """End every connection; whoever reads from one wakes up."""
        with self._lock:
            self._is_cut = True
            self._shut_down()

    def let_go(self) -> None:
        """The request is over."""
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    def _shut_down(self) -> None:
        for held in self._sockets:
            with suppress(OSError):  # it may be gone already
                held.shutdown(socket.SHUT_RDWR)


def _exchange(request: dict[str, Any], limit_bytes: int, connections: _Connections, deadline: Deadline) -> Answer:
    """Send and return the answer; raises `NoAnswerError`. `request` is what `requests` takes.

    Its timeout bounds a connection attempt and each silence, not the whole.
    """
    try:
        with (
            _session(connections, request["url"]) as session,
            session.request(
                **request,
                timeout=max(_LEAST, deadline.left()).total_seconds(),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            return Answer(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=_read(response, limit_bytes).decode("utf-8", "replace"),
            )
    except Exception as error:  # noqa: BLE001 - whatever requests raises, its text may hold the URL
        reason = _describe(error)
    finally:
        connections.let_go()
    raise NoAnswerError(reason)  # out here, so that it does not even carry the other one as its context


def _describe(error: Exception) -> str:
    """What an error is called here; the narrower kinds first."""
    limit = own_limit(error) or exhausted_limit()
    if limit is not None:
        return limit
    if isinstance(error, ImportError):
        return f"this installation is not whole ({error.name} cannot be imported)"
    import requests.exceptions as kinds
    from urllib3.exceptions import NameResolutionError, ProtocolError

    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else None
    for kind, words in (
        (kinds.ProxyError, "the proxy of this environment does not let it through"),
        (kinds.SSLError, "no encrypted connection that can be trusted"),
        (kinds.ConnectTimeout, "no connection in time"),
        (kinds.Timeout, "no answer in time"),
        (kinds.ChunkedEncodingError, "the answer broke off"),
        (kinds.ContentDecodingError, "an answer that cannot be unpacked"),
        (kinds.InvalidSchema, "the proxy of this environment is of a kind that is not supported"),
        (kinds.InvalidProxyURL, "the proxy of this environment is not a URL"),
        (NameResolutionError, "the host name could not be looked up"),
        (ProtocolError, "no HTTP answer came back"),
        (kinds.ConnectionError, "no connection"),
    ):
        if isinstance(error, kind) or isinstance(reason, kind):
            return words
    if isinstance(error, OSError) and not isinstance(error, kinds.RequestException):
        return "the certificates that this environment names cannot be read"
    return f"the request failed ({type(error).__name__})"


def _read(response: Response, limit_bytes: int) -> bytes:
    body = b""
    for chunk in response.iter_content(4096):
        body += chunk
        if len(body) >= limit_bytes:
            break
    return body[:limit_bytes]


def _without_detection() -> None:
    """Import `requests` without what it guesses the encoding of a text by, where that is not loaded anyway.

    That is 3 MB of memory, and `requests` provides for its absence; our answers are UTF-8.
    """
    detectors = {"charset_normalizer", "chardet"}.difference(sys.modules)
    sys.modules.update(dict.fromkeys(detectors))  # type: ignore[arg-type]  # None: as if it were not installed
    warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
    try:
        import requests  # noqa: F401
    finally:
        for name in detectors:
            sys.modules.pop(name, None)


def _session(connections: _Connections, url: str) -> Session:
    """A session for one request, whose connections are held.

    HTTP_PROXY and its like are heeded: where only a proxy leads outside, messages must go through it. A .netrc is
    not: it would send a stranger's password along. What the probes trust (SSL_CERT_FILE, SSL_CERT_DIR) is trusted
    here as well, unless REQUESTS_CA_BUNDLE says otherwise.
    """
    if "requests" not in sys.modules:
        _without_detection()
    import requests

    session = requests.Session()
    session.headers["User-Agent"] = _USER_AGENT
    session.auth = _auth_of(url)
    session.verify = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR") or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, _adapter(connections))
    return session


def _auth_of(url: str) -> AuthBase:
    from requests.auth import AuthBase, HTTPBasicAuth
    from requests.utils import get_auth_from_url

    class NoAuth(AuthBase):
        """Keeps `requests` from looking for a password by itself."""

        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            return request

    user, password = get_auth_from_url(url)
    return HTTPBasicAuth(user, password) if user or password else NoAuth()


def _adapter(connections: _Connections) -> HTTPAdapter:
    from requests.adapters import HTTPAdapter

    pools = _pools(connections)

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **kwargs)
            if not proxy.lower().startswith("socks"):  # those have connections of their own kind
                manager.pool_classes_by_scheme = pools
            return manager

    return Adapter()


def _pools(connections: _Connections) -> dict[str, type[HTTPConnectionPool]]:
    from http.client import HTTPException, HTTPResponse

    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class FinalResponse(HTTPResponse):
        """The final answer. http.client passes over 100 alone, and takes another 1xx (103 Early Hints) for it."""

        def begin(self) -> None:
            for _ in range(_MOST_INTERIM_ANSWERS):
                super().begin()
                if self.status >= 200:
                    return
                self.headers = self.msg = None  # type: ignore[assignment]  # what it is before the first begin()
            raise HTTPException("interim answers without end")

    # `_new_conn` is urllib3's own affair, and the only place where a connection can be made for both kinds, before
    # TLS: a test says when it has moved.
    class Plain(HTTPConnection):
        response_class = FinalResponse

        def _new_conn(self) -> socket.socket:
            return connections.open(self)

    class Encrypted(HTTPSConnection):
        response_class = FinalResponse

        def _new_conn(self) -> socket.socket:
            return connections.open(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
