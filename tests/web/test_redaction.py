"""No host leaves through the page: what is taken out of details, and that nothing else is."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.checks.canary import combine, judge_canary, with_failed_canary
from monitor.checks.classify import CheckResult, classify
from monitor.checks.connection import Resolver, Stopwatch, connection_error, is_address
from monitor.checks.credentials import inspect
from monitor.checks.observation import CanaryResult, Observation, Outcome, Phases
from monitor.checks.rest import RestProbeFactory
from monitor.lib.text import Scrubber
from monitor.report.formatting import Redactor
from tests.checks.faulty_server import Behaviour, answer, faulty_server
from tests.checks.test_outcomes import CERTIFICATES, PAGE, SILENT, STRANGE, TEXTS, failing, leading_to, refusal
from tests.web.conftest import Site, build, serving
from tests.web.made import MINUTE, NOW, MadeDatabase, MadeOverview

HOST = "usual-cat-12345.upstash.io"
TOKEN = "AXt0kenOfTheRedactionTests=="
NAMED = (HOST, "login.portal.example", "10.11.12.13", "2001:db8::17", "intranet")
# Or a URL, half a word at the end, or what may be a credential.
NAMES_A_HOST = re.compile(rf"{'|'.join(map(re.escape, NAMED))}|gone\.example|127\.0\.0\.1|://\w|…$|\w{{20}}")
MALFORMED = (
    ("", TOKEN),
    (f"https://{HOST}", ""),
    (f"https://{HOST}:6379/x", TOKEN),
    (f"rediss://default:x@{HOST}:6379", TOKEN),
    (f"UPSTASH_REDIS_REST_URL={HOST}", TOKEN),
    (HOST, TOKEN),
    (f"https://{HOST}", f"https://{HOST}"),
    (f"https://{HOST}", f"'{TOKEN}'"),
)
SECONDS = timedelta(seconds=1)
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?", fullmatch=True)
LAST_LABEL = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
NAMES = st.builds(
    lambda front, last: ".".join([*front, last]), st.lists(LABEL, min_size=1, max_size=4), LAST_LABEL
)
ADDRESSES = st.ip_addresses().map(str) | st.ip_addresses(v=6).map(lambda address: address.exploded)
# What people and servers put around a host.
PLACES = """{}
no route to {}
dial tcp {}:443: refused
'{}'
<{}>
(at {}).
https://{}/x
redis://:secret@{}:6379
HTTP 301: {}
user@{}
upstream={}, 3 tries
{};{}
a redirect to {}
{}: 10.5 ms
peer [{}]:6379 is gone""".splitlines()
WORDS = """answered in 10.5 ms, the limit is 500 ms
HTTP 301
HTTP/1.1
at 12:30:45
nginx/1.25.3
v1.2.3-rc1
Limit: 500000, Usage: 500001.
rediss:// answers
rediss://: token rejected
begins with rediss://; REST is at https:// of the same host
e.g. this
(i.e. 0.4 s)
a redirect to https:// of the same host
a redirect to nowhere
a redirect to port 8080 of the same host; rediss:// answers
text/html: <html><body>Please</body>
WRONGPASS invalid password
user_script:1: of 3.5%
std::vector
1,234.5 kB
maxmemory > 'x'.
{"error":{"code":7}}""".splitlines()


@given(host=NAMES | ADDRESSES, place=st.sampled_from(PLACES), upper=st.booleans())
def test_no_host_name_and_no_address_is_left(host: str, place: str, upper: bool) -> None:
    """Whatever stands around it; in capitals too, and also where nobody listed it."""
    host = host.upper() if upper else host
    assert host not in Redactor()(place.format(host, host))


@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
def test_ordinary_words_and_figures_stay(words: list[str]) -> None:
    """Latencies, statuses, versions, times of day, and our own words for a redirect or the worker's way."""
    text = " ".join(words)
    assert Redactor(["srh", HOST])(text) == text


@given(host=LABEL.filter(lambda label: len(label) > 1), place=st.sampled_from(PLACES))
def test_a_database_s_host_may_be_a_single_label(host: str, place: str) -> None:
    """As in a network of containers; in a longer word it is another word."""
    redact = Redactor([host])
    assert not re.search(
        rf"(?<![\w-]){re.escape(host)}(?![\w-])", redact(place.format(host, host).replace("a ", ""))
    )
    assert redact(f"x{host}x") == f"x{host}x"


@given(text=st.text(max_size=120) | st.text("0123456789abcdef.:%[]-/", max_size=60))
@example(text="0.A0::")
@example(text="::1.ab")
def test_redacting_ends_and_finds_everything_at_once(text: str) -> None:
    """For any text; of what is left nothing is an address any more."""
    left = Redactor()(text)
    assert Redactor()(left) == left or "…" in left
    for word in re.split(r"[^0-9a-fA-F:.]+", left):
        for piece in (word, word.strip(".:")):
            if piece.count(".") == 3 and ":" not in piece:
                assert not is_address(piece)


def test_half_a_word_at_the_end_of_a_cut_detail_is_left_out() -> None:
    """Nothing shows that it was to be a host name."""
    assert Redactor([HOST])("ERR upstream usual-cat-1…") == "ERR upstream …"
    assert Redactor()("ERR upstream db-internal.e…") == "ERR upstream …"


PROBES = RestProbeFactory(scrub=Scrubber([TOKEN]), tls=CERTIFICATES.client())


def checked(url: str, *, timeout: timedelta = 10 * SECONDS, resolver: Resolver | None = None) -> CheckResult:
    probes = PROBES
    if resolver is not None:
        probes = RestProbeFactory(scrub=Scrubber([TOKEN]), tls=PROBES.tls, resolver=resolver)
    return classify(asyncio.run(probes.probe(url=url, token=TOKEN).ping(timeout=timeout)), slow=None)


def answered(behaviours: Iterable[Behaviour], timeout: timedelta = 10 * SECONDS) -> Iterator[CheckResult]:
    """What checks say of answers: with hosts in them wherever a server can put one."""
    with faulty_server(answer("")) as server:
        for behaviour in behaviours:
            server.behaviour = behaviour
            yield checked(server.url, timeout=timeout)


def naming_hosts() -> Iterator[Behaviour]:
    hosts = " ".join(NAMED[:-1])
    for text, status, _, _ in TEXTS:
        yield refusal(f"{text} {hosts}", status)
    for status in (200, 401, 403, 404, 429, 502):
        yield answer(f"{PAGE} {hosts}", status, kind="text/html")
    for host in NAMED:
        yield answer("", 302, head=f"Location: https://{f'[{host}]' if ':' in host else host}/\r\n")


def without_an_answer() -> Iterator[CheckResult]:
    for values in MALFORMED:
        found = inspect(*values)
        assert found is not None
        yield found
    for code in (socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_SYSTEM):
        yield checked("https://gone.example", resolver=failing(code))
    yield checked("https://db.example:1", resolver=leading_to("127.0.0.1"))
    yield checked("http://127.0.0.1:1")
    for tls in (CERTIFICATES.server(is_trusted=False), CERTIFICATES.server("other.example")):
        with faulty_server(answer(""), tls=tls) as server:
            yield checked(server.url)
    with faulty_server(lambda connection: connection.wait()) as server:
        yield checked(server.url.replace("http://", "https://"), timeout=SECONDS / 10)
    late = Stopwatch()
    late.resolved = late.started
    for error in (late.error_at_deadline(10 * SECONDS), connection_error(OSError(errno.EHOSTUNREACH, ""))):
        yield classify(Observation(fault=error.fault, description=error.description), slow=None)


def beyond_one_answer() -> Iterator[CheckResult]:
    fine = Observation(http_status=200, as_expected=True, phases=Phases(wait=10.5, read=0.25))
    yield classify(fine, slow=SECONDS / 100)
    stale = judge_canary({"SET": fine, "GET": Observation(http_status=200, other_value="null"), "DEL": fine})
    canary = CanaryResult(sent_at=NOW - SECONDS, outcome=stale.outcome, detail=stale.detail)
    yield from (stale, with_failed_canary(canary, NOW), combine(CheckResult(outcome=Outcome.OK), stale))
    yield CheckResult(outcome=Outcome.OFFLINE, detail="no connectivity host answers either (connection refused)")
    yield CheckResult(outcome=Outcome.MONITOR_ERROR, detail="ValueError")


@pytest.fixture(scope="module")
def real() -> list[CheckResult]:
    """What checks end with, over real sockets where an outcome comes of one."""
    return [
        *answered(naming_hosts()),
        *answered(behaviour for how, behaviour, _ in STRANGE if "endless" not in how),
        *answered([behaviour for _, behaviour, _ in SILENT], SECONDS / 10),
        *without_an_answer(),
        *beyond_one_answer(),
    ]


def test_every_outcome_s_real_detail_is_shown_without_hosts(real: list[CheckResult]) -> None:
    """Each outcome that has a detail is among them; where no host is named, the detail is shown as it is."""
    assert {result.outcome for result in real} == set(Outcome) - {Outcome.OK}
    redact = Redactor([HOST])
    for result in real:
        shown = redact(result.detail)
        assert not [host for host in NAMED if host in shown]
        if not NAMES_A_HOST.search(result.detail):
            assert shown == result.detail


def test_no_host_leaves_through_page_json_badge_and_metrics(real: list[CheckResult]) -> None:
    """A database of each outcome whose detail names a host, and one of each redirect."""
    naming = [one for one in real if NAMES_A_HOST.search(one.detail)]
    results = {(one.outcome, one.detail if "a redirect to" in one.detail else ""): one for one in naming}.values()
    made = [
        MadeDatabase(name=f"db{number}", latency_ms=1.0, since=MINUTE, latest=one.outcome, detail=one.detail)
        for number, one in enumerate(results)
    ]
    overview = MadeOverview(made, now=NOW)
    with serving(build(overview)) as port:
        site = Site(port=port, overview=overview)
        paths = ["/", "/api/databases", "/metrics"]
        for one in made:
            paths += [f"/databases/{one.name}", f"/api/databases/{one.name}/history", f"/badge/{one.name}.svg"]
        for path in paths:
            found = site.ask(path)
            assert found.status == 200
            assert not [host for host in NAMED if host in found.text], path
