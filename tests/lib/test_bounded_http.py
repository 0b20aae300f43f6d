"""One request that nothing outlasts, over real sockets and real TLS; and what it heeds of the environment."""

from __future__ import annotations

import base64
import gzip
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
import trustme
import urllib3.connection
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from monitor.lib.bounded_http import NoAnswerError, ask
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.server import LoopbackServer
from tests.alerts.conftest import LONG
from tests.checks.listener import port_that_drops, port_that_refuses

SHORT = timedelta(seconds=0.3)
SECRET = "pathOfTheTest0123456789"
PATH = f"/services/T0TEST99/B0TEST77/{SECRET}"


@pytest.fixture
def host() -> Iterator[LoopbackServer]:
    with LoopbackServer(PlainTextResponse("ok")) as host:
        yield host


@contextmanager
def raw_server(answer: bytes, *, pause: float = 0.0, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port that sends these bytes to whoever comes, one at a time if there is a pause, and hangs up."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(connection: socket.socket) -> None:
            try:
                with context.wrap_socket(connection, server_side=True) if context else connection as talk:
                    talk.recv(65536)
                    for part in [answer] if not pause else [answer[at : at + 1] for at in range(len(answer))]:
                        talk.sendall(part)
                        if over.wait(pause):
                            break
            except OSError:
                connection.close()  # the client went away, as it should

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        over.set()
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


def tls_of(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trust(ca: trustme.CA, folder: Path) -> str:
    path = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def no_answer(url: str, *, timeout: timedelta = LONG) -> str:
    """Why nothing came back; nothing that can be printed of it holds the URL."""
    with pytest.raises(NoAnswerError) as caught:
        ask("POST", url, timeout=timeout, json={"text": "x"})
    printed = "".join(traceback.format_exception(caught.value))
    assert SECRET not in printed
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or SECRET not in str(caught.value.__context__)
    return str(caught.value)


def wait_for_threads_to_end() -> None:
    """No request is left behind."""
    end = monotonic() + 10
    while any(thread.name == "request" for thread in threading.enumerate()):
        assert monotonic() < end, "a thread stayed behind"
        sleep(0.01)


def test_an_answer_has_status_headers_and_body(host: LoopbackServer) -> None:
    """Header names in lower case; the request says who asks, and posts JSON."""
    host.app = PlainTextResponse("näh", 404, {"Retry-After": "3"})
    answer = ask("POST", host.url + PATH, timeout=LONG, json={"text": "ü"})
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (404, "näh", "3")
    [request] = host.requests
    assert (request.method, request.target, request.body) == ("POST", PATH, b'{"text": "\\u00fc"}')
    assert request.headers["user-agent"] == "upstash-monitor"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("fault", [MessagingFault.DRIP, MessagingFault.HANG])
@pytest.mark.faults("channels that drip, redirect, hang, answer 429 for an hour")
def test_a_host_that_drips_or_hangs_ends_by_the_wall_clock(inbox: MessagingStandIn, fault: MessagingFault) -> None:
    """A byte now and then resets a client library's timeouts; here it does not, and no thread stays behind."""
    inbox.fault = fault
    inbox.drip_seconds = 0.05
    started = monotonic()
    assert no_answer(inbox.slack_url, timeout=SHORT).startswith(
        ("no whole answer within 0.3 s", "no answer in time")
    )
    assert monotonic() - started < 5
    wait_for_threads_to_end()


def test_a_body_that_drips_over_tls_is_cut_as_well(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encryption hides the socket from us; it is cut underneath."""
    monkeypatch.setenv("SSL_CERT_FILE", trust(ca, tmp_path))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    with raw_server(head + b"o" * 1000, pause=0.02, context=tls_of(ca)) as port:
        assert no_answer(f"https://127.0.0.1:{port}{PATH}", timeout=timedelta(seconds=1)).startswith("no whole")
        wait_for_threads_to_end()


def test_a_proxy_that_drips_is_cut_as_well(inbox: MessagingStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection to a proxy is a connection like any other."""
    inbox.fault = MessagingFault.DRIP
    inbox.drip_seconds = 0.05
    monkeypatch.setenv("HTTP_PROXY", inbox.telegram_api_url)
    assert no_answer(f"http://slack.example{PATH}", timeout=SHORT).startswith(
        ("no whole answer within 0.3 s", "no answer in time", "no connection in time")
    )
    wait_for_threads_to_end()


def test_no_time_is_no_request(host: LoopbackServer) -> None:
    """A second try that would begin after the end is not begun."""
    assert no_answer(host.url + PATH, timeout=timedelta(0)) == "no time was left to send it"
    assert no_answer(host.url + PATH, timeout=timedelta(seconds=-1)) == "no time was left to send it"
    assert host.requests == []


def test_a_redirect_is_an_answer_and_not_an_order(host: LoopbackServer) -> None:
    """The message, and the secret in its URL, go nowhere else."""
    host.app = RedirectResponse(f"{host.url}/elsewhere", 307)
    assert ask("POST", host.url + PATH, timeout=LONG, json={}).status == 307
    assert [request.target for request in host.requests] == [PATH]


def test_what_is_read_is_bounded(host: LoopbackServer) -> None:
    """64 KiB of a long answer, also when a small one unpacks to a large one."""
    host.app = Response("x" * 1_000_000)
    assert len(ask("POST", host.url + PATH, timeout=LONG).body) == 64 * 1024
    bomb = gzip.compress(b"\0" * 50_000_000)
    host.app = Response(bomb, headers={"Content-Encoding": "gzip"})
    assert len(ask("POST", host.url + PATH, timeout=LONG).body) == 64 * 1024


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "no HTTP answer came back"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP answer came back"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the answer broke off"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
            "an answer that cannot be unpacked",
        ),
    ],
)
def test_half_an_answer_is_none(answer: bytes, said: str) -> None:
    """Cut off, not HTTP, not what its headers say: nobody knows whether the message arrived; it is sent again."""
    with raw_server(answer) as port:
        assert no_answer(f"http://127.0.0.1:{port}{PATH}") == said


def test_a_port_that_nobody_listens_on(host: LoopbackServer) -> None:
    """The everyday failure, in two words and without the address."""
    host.stop()
    assert no_answer(host.url + PATH) == "no connection"


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told apart from a host that does not answer. A mock: the resolver of this machine may take its time."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert no_answer(f"http://slack.example{PATH}") == "the host name could not be looked up"


def lead_to(monkeypatch: pytest.MonkeyPatch, *places: tuple[str, int]) -> None:
    """Every name leads to these addresses and ports, in this order. A mock: no name that a test may use does."""
    addresses = [
        (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host, port in places
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)


@pytest.fixture(params=["::1", "127.0.0.1"])
def dead(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """An address where nothing answers, as behind a router that drops IPv6."""
    host: str = request.param
    with port_that_drops(host) as port:
        yield host, port


def test_a_dead_address_costs_a_quarter_of_a_second(
    host: LoopbackServer, dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with broken IPv6 and good IPv4: the message arrives by the other, long before the deadline."""
    lead_to(monkeypatch, dead, ("127.0.0.1", host.port))
    started = monotonic()
    assert ask("POST", f"http://slack.example{PATH}", timeout=LONG).body == "ok"
    assert 0.2 < monotonic() - started < 5
    assert len(host.requests) == 1


def test_a_dead_address_before_tls_and_before_a_proxy(
    host: LoopbackServer, dead: tuple[str, int], ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is that of the name, whatever the address; a proxy may have a dead address as well."""
    monkeypatch.setenv("SSL_CERT_FILE", trust(ca, tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("slack.example").configure_cert(context)
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", context=context) as port:
        lead_to(monkeypatch, dead, ("127.0.0.1", port))
        assert ask("POST", f"https://slack.example{PATH}", timeout=LONG).body == "ok"
    lead_to(monkeypatch, dead, ("127.0.0.1", host.port))
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert ask("POST", f"http://slack.example{PATH}", timeout=LONG).body == "ok"
    assert host.requests[-1].target == f"http://slack.example{PATH}"


def test_an_address_that_refuses_is_passed_over_at_once(
    host: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs nothing; where all refuse, that is told."""
    refusing = ("127.0.0.1", port_that_refuses())
    lead_to(monkeypatch, refusing, ("127.0.0.1", host.port))
    assert ask("POST", f"http://slack.example{PATH}", timeout=LONG).body == "ok"
    lead_to(monkeypatch, refusing, refusing)
    assert no_answer(f"http://slack.example{PATH}") == "no connection"


def test_many_dead_addresses_end_with_the_whole_deadline(
    dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with one deadline each; no thread stays behind with them."""
    lead_to(monkeypatch, *[dead] * 50)
    started = monotonic()
    assert no_answer(f"http://slack.example{PATH}", timeout=SHORT) in (
        "no connection in time",
        "no whole answer within 0.3 s",
    )
    assert monotonic() - started < 5
    wait_for_threads_to_end()


def test_a_resolver_that_hangs_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup cannot be cancelled; whoever sends goes on without it, and tells what it was that hung.

    A mock: a resolver that hangs is rare.
    """
    over = threading.Event()

    def hang(*_: object, **__: object) -> None:
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = monotonic()
    reason = no_answer(f"http://slack.example{PATH}", timeout=SHORT)
    assert reason == "the host name could not be looked up within 0.3 s"
    assert monotonic() - started < 5
    over.set()
    wait_for_threads_to_end()


@pytest.mark.parametrize("kind", [urllib3.connection.HTTPConnection, urllib3.connection.HTTPSConnection])
def test_urllib3_makes_its_connections_where_we_take_part(kind: type[urllib3.connection.HTTPConnection]) -> None:
    """`_new_conn` is private. Where it has moved, `ask` still sends, but one dead address takes the whole time and
    a connection that drips is not cut: adapt `_pools` in `monitor/lib/bounded_http.py`."""

    class Client(kind):  # type: ignore[valid-type,misc]  # both kinds alike
        def _new_conn(self) -> socket.socket:
            raise RuntimeError("here")

    with pytest.raises(RuntimeError, match=r"^here$"):
        Client("127.0.0.1", 9).connect()


def test_a_certificate_that_nobody_vouches_for(ca: trustme.CA) -> None:
    """The message is not sent to whoever stands in between."""
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", context=tls_of(ca)) as port:
        assert no_answer(f"https://127.0.0.1:{port}{PATH}") == "no encrypted connection that can be trusted"


def test_plain_text_where_encryption_is_expected() -> None:
    """A port that speaks HTTP only, asked by https."""
    with raw_server(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        assert no_answer(f"https://127.0.0.1:{port}{PATH}") == "no encrypted connection that can be trusted"


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_environment_may_vouch_for_a_certificate(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where a company's proxy opens the encryption, what the checks trust is trusted for messages as well."""
    monkeypatch.setenv(name, trust(ca, tmp_path))
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", context=tls_of(ca)) as port:
        assert ask("POST", f"https://127.0.0.1:{port}{PATH}", timeout=LONG).body == "ok"


def test_certificates_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca: trustme.CA) -> None:
    """A path that leads nowhere is told as such; it is nothing that Slack could help with."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with raw_server(b"", context=tls_of(ca)) as port:
        said = no_answer(f"https://127.0.0.1:{port}{PATH}")
    assert said == "the certificates that this environment names cannot be read"


def test_messages_go_through_the_environments_proxy(host: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only a proxy leads outside; NO_PROXY makes exceptions."""
    monkeypatch.setenv("HTTP_PROXY", host.url)
    assert ask("POST", f"http://slack.example{PATH}", timeout=LONG).status == 200
    assert host.requests[0].target == f"http://slack.example{PATH}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert ask("POST", host.url + PATH, timeout=LONG).status == 200
    assert host.requests[1].target == PATH


def test_a_proxy_that_is_not_there_is_named(host: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody looks for the fault at Slack; a SOCKS proxy is one that we cannot use."""
    host.stop()
    monkeypatch.setenv("HTTP_PROXY", host.url)
    assert no_answer(f"http://slack.example{PATH}") == "the proxy of this environment does not let it through"
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1080")
    said = no_answer(f"http://slack.example{PATH}")
    assert said == "the proxy of this environment is of a kind that is not supported"


def test_a_library_that_cannot_be_imported_is_told_at_once(
    host: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update that replaces files under a running program must not cost ten seconds per message. A mock: the
    tests cannot do without the library."""
    monkeypatch.setitem(sys.modules, "requests", None)
    said = no_answer(host.url + PATH)
    assert said == "this installation is not whole (requests cannot be imported)"


def test_no_password_is_sent_that_nobody_asked_for(
    host: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .netrc that happens to know the host stays at home; what stands in the URL itself is sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    ask("POST", host.url + PATH, timeout=LONG)
    ask("POST", host.url.replace("://", "://ann:p%40ss@"), timeout=LONG)
    first, second = host.requests
    assert "authorization" not in first.headers
    assert second.headers["authorization"] == f"Basic {base64.b64encode(b'ann:p@ss').decode()}"


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 199 Odd\r\n\r\n",
    ],
)
def test_an_interim_answer_is_not_taken_for_the_answer(interim: bytes) -> None:
    """Else a message that arrived would be called refused."""
    with raw_server(interim + b"HTTP/1.1 200 OK\r\nx-mark: last\r\ncontent-length: 2\r\n\r\nok") as port:
        answer = ask("GET", f"http://127.0.0.1:{port}/", timeout=LONG)
    assert (answer.status, answer.body, answer.headers["x-mark"]) == (200, "ok", "last")
    assert "link" not in answer.headers


@pytest.mark.parametrize("answer", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 11])
def test_interim_answers_alone_are_no_answer(answer: bytes) -> None:
    """So it is tried again, as after any trouble of the network. Without an end they are not read for ever."""
    with raw_server(answer) as port:
        assert no_answer(f"http://127.0.0.1:{port}/") in ("no HTTP answer came back", "no connection")


def test_no_detection_of_encodings_is_read_in() -> None:
    """It is 3 MB that nothing here asks for; whoever wants it afterwards has it. No warning is printed."""
    code = (
        "import sys; from datetime import timedelta; from monitor.lib.bounded_http import NoAnswerError, ask\n"
        "try: ask('GET', 'http://127.0.0.1:1', timeout=timedelta(seconds=30))\n"
        "except NoAnswerError as error: print(error)\n"
        "print('requests' in sys.modules, 'charset_normalizer' in sys.modules)\n"
        "import charset_normalizer"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("no connection\nTrue False\n", "")
