"""What holds for every observation: one outcome, no secret, known texts before all else, nothing said twice."""

from __future__ import annotations

import ast
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.checks import connection, credentials
from monitor.checks.answer import Exchange
from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.connection import ProbeError, Stopwatch, connection_error, lookup_error, lost_connection_error
from monitor.checks.credentials import inspect, inspect_for_worker
from monitor.checks.error_texts import KNOWN_ERRORS, KnownError, known_error
from monitor.checks.observation import Fact, Observation, Outcome, ProbeFault
from monitor.checks.rest import RestProbeFactory
from monitor.lib.text import Scrubber

SECRET = "AXs3cretOfTheClassifyTests77=="
URL = "https://glad-cat-12345.upstash.io"
# Reading the certificates takes longer than all the rest.
PROBES = RestProbeFactory(scrub=Scrubber([SECRET]), tls=ssl.create_default_context())


def text_of(known: KnownError) -> str:
    """A text that the entry is about."""
    words = " ".join(word.split("|")[0] for word in known.words)
    return f"{known.prefix.replace('#', '7')} {words}".strip()


FRONTS = ("", "ERR ", "Command failed: ", "(error) ", "-", "ReplyError: ", "redis.exceptions.ResponseError: ", '"')


@pytest.mark.parametrize("known", KNOWN_ERRORS, ids=text_of)
def test_every_entry_is_found_by_its_own_text(known: KnownError) -> None:
    """No earlier entry hides a later one, in upper or lower case, whatever a client or a proxy puts in front."""
    text = text_of(known)
    for front in FRONTS:
        if front != "ERR " or not known.prefix.startswith("ERR"):
            assert {known_error(front + each) for each in (text, text.upper(), text.lower())} == {known}


# As Redis sends them (the source of 6.2 and 7.0), one of each kind, and what REST and RedisJSON say beside it.
ABOUT_ONE_COMMAND = """
    ERR Error running script (call to f_1): @user_script:1: READONLY You can't write against a read only replica.
    ERR Target instance replied with error: NOAUTH Authentication required.
    ERR value is not an integer or out of range
    ERR Can't execute 'get': only (P|S)SUBSCRIBE / PING / QUIT / RESET are allowed in this context
    ERR resulting score is not a number (NaN)
    ERR unsupported unit provided. please use M, KM, FT, MI
    ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.
    ERR Replica can't interact with the keyspace
    ERR SWAPDB is not allowed in cluster mode
    ERR Slot 42 is already busy
    ERR Another child process is active (AOF?): can't BGSAVE right now.
    ERR Function not found
    ERR null args are not supported
    ERR new objects must be created at the root
    MOVED 3999 127.0.0.1:6381
""".strip().splitlines()


@pytest.mark.parametrize("text", [line.strip() for line in ABOUT_ONE_COMMAND])
def test_redis_errors_about_one_command_are_known(text: str) -> None:
    """They are about what was sent, whatever other texts they quote, and on Redis's list, so on ours."""
    result = classify(Observation(http_status=400, error_text=text), slow=None)
    assert (result.outcome, result.facts) == (Outcome.COMMAND_ERROR, frozenset())


ON_NOBODYS_LIST = """
    ERR transaction was suspended while slot 5 migrates
    ERR daily backup limit reached
    ERR a daily job holds a limit, so the request was rejected
    ERR SUBSCRIBE suspended for a channel of this database
    ERR the database is not suspended
    ERR max age of connections is a limit of the pool
    ERR max pipeline commands limit exceeded
    ERR max commands in transaction limit exceeded
    ERR max request limit per connection
    ERR max lua script time 5 sec exceeded
    ERR max subscription limit exceeded
    ERR command was not executed, nor the rest of the pipeline
    ERR upstream error: LOADING
    ERR zip files are not allowed
""".strip().splitlines()


@pytest.mark.parametrize("text", [line.strip() for line in ON_NOBODYS_LIST])
def test_a_text_on_nobodys_list_is_given_no_cause(text: str) -> None:
    """A word that a known text holds too makes no quota, suspension or rate of it."""
    result = classify(Observation(http_status=400, error_text=text), slow=None)
    assert (result.outcome, result.facts) == (Outcome.COMMAND_ERROR, frozenset({Fact.UNKNOWN_TEXT}))


@pytest.mark.parametrize("code", ["LOADING", "TRYAGAIN", "MISCONF", "NOPERM", "WRONGPASS"])
def test_a_code_says_more_than_the_words_behind_it(code: str) -> None:
    """A state of the database stays one when its text speaks of what a plan or an allowlist is about."""
    for words in ("the account database is suspended", "this ip is not allowed", "bandwidth limit exceeded"):
        assert known_error(f"{code} {words}") is known_error(code)


def test_a_longer_word_is_another_text() -> None:
    """BUSYGROUP is not BUSY, ASKING is not ASK."""
    for known in KNOWN_ERRORS:
        if known.prefix and not known.words:
            assert known_error(text_of(known) + "x") is not known


@given(
    known=st.sampled_from(KNOWN_ERRORS),
    tail=st.sampled_from(["", ". Limit: 5, Usage: 5. See https://upstash.com/docs for details"]),
    status=st.none() | st.integers(100, 599),
    slow=st.none() | st.just(timedelta(milliseconds=1)),
)
def test_a_known_text_wins_over_every_status(
    known: KnownError, tail: str, status: int | None, slow: timedelta | None
) -> None:
    """The database itself spoke; what a proxy made of its status says less."""
    text = text_of(known) + ("" if known.is_whole else tail)
    result = classify(Observation(http_status=status, error_text=text), slow=slow)
    expected = known_error(text)
    assert expected is not None
    assert (result.outcome, result.facts) == (expected.outcome, expected.facts)
    assert not result.detail.startswith("HTTP ")
    if not tail:
        assert result.outcome is known.outcome


ANY_TEXT = st.text(max_size=300) | st.sampled_from([text_of(known) for known in KNOWN_ERRORS])


@given(
    observation=st.builds(
        Observation,
        fault=st.none() | st.sampled_from(ProbeFault),
        facts=st.frozensets(st.sampled_from(Fact), max_size=2),
        http_status=st.none() | st.integers(-1, 1000),
        error_text=st.none() | ANY_TEXT,
        as_expected=st.booleans(),
        content_type=st.sampled_from(["", "text/html", "application/json"]),
        description=ANY_TEXT,
    )
)
def test_every_observation_has_one_outcome_and_a_short_line(observation: Observation) -> None:
    """Nothing raises; the detail is printable and short; what the network showed is not lost."""
    result = classify(observation, slow=timedelta(seconds=1))
    assert result.detail == "" or result.detail.isprintable()
    assert len(result.detail) <= DETAIL_LIMIT
    if result.outcome.family.is_failing:
        assert result.facts >= observation.facts
    assert (Fact.UNKNOWN_TEXT in result.facts - observation.facts) <= (result.outcome is Outcome.COMMAND_ERROR)


@given(
    before=st.text(max_size=20), after=st.text(max_size=20), status=st.sampled_from([200, 302, 400, 401, 403, 500])
)
def test_no_answer_gives_the_token_away(before: str, after: str, status: int) -> None:
    """Wherever the other side writes it back: in its error, on its page, or as the name of a host to go to."""
    probe = PROBES.probe(url=URL, token=SECRET)
    for body in (f'{{"error": "{SECRET}"}}', f"{before}{SECRET}{after}"):
        exchange = Exchange(
            status=status, body=body.encode("utf-8", "replace"), location=f"https://{SECRET}.example/?{SECRET}"
        )
        observation = probe._answer(exchange, as_expected=False)
        assert SECRET not in repr(observation)
        assert SECRET not in classify(observation, slow=None).detail


# ---- No word twice ---------------------------------------------------------------------------------------

_SMALL_WORDS = {"a", "an", "the", "of", "and", "or", "not", "is", "was", "it", "its", "to", "for", "no"}


def content_words(text: str) -> set[str]:
    """The words that carry the meaning, without their endings."""
    words = re.findall(r"[a-z]+", text.lower())
    return {re.sub(r"(?:ed|es|s|ing|er)$", "", word) for word in words} - _SMALL_WORDS


def errors() -> Iterator[ProbeError]:
    """Every error that the probes word themselves, with the words that our own modules hold."""
    for code in range(1, 140):
        yield connection_error(OSError(code, "the system's words"))
    for code in (-2, -3, -4, -5, -8, -11):
        yield lookup_error(socket.gaierror(code, "the system's words"))
    stopwatch = Stopwatch()
    for moment in ("", "resolved", "connected", "encrypting", "encrypted", "first_byte"):
        if moment:
            setattr(stopwatch, moment, 1.0)
        yield stopwatch.error_at_deadline(timedelta(seconds=1))
    yield lost_connection_error(OSError(104, "reset"))
    yield lost_connection_error(ssl.SSLEOFError())
    not_tls = ssl.SSLError()
    not_tls.reason = "WRONG_VERSION_NUMBER"
    yield lost_connection_error(not_tls)
    for name in ("rest", "redis_tcp"):
        source = (Path(connection.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "ProbeError":
                fault, words = call.args[:2]
                if isinstance(fault, ast.Attribute) and isinstance(words, ast.Constant):
                    yield ProbeError(ProbeFault[fault.attr], str(words.value))


def results() -> Iterator[CheckResult]:
    """Details of every kind that the program itself words."""
    for error in errors():
        yield classify(Observation(fault=error.fault, description=error.description), slow=None)
    values = (
        "",
        " ",
        "undefined",
        "***",
        "'x'",
        '"x',
        "a b",
        'a"b',
        "x\n",
        "\tx",
        "${{ x }}",
        "A=b",
        "é",
        "Bearer x",
        "AX==,",
    )
    urls = ("redis://h", "h", "https://[", "https://a@h", "https://-", "https://h:0", f"{URL}/x", f"{URL}?x", URL)
    more = (f"{URL}:6379", "http://glad-cat-12345.upstash.io", "AX0123456789012345678901234567")
    for value in (*values, *urls, *more):
        yield from filter(None, (inspect(value, SECRET), inspect(URL, value)))
        yield from filter(None, (inspect_for_worker(value, "x", 6379), inspect_for_worker(URL, f"{value}/", 6379)))
    yield from filter(None, (inspect(SECRET, URL), inspect(SECRET, SECRET)))
    for description in ("an empty body", "a redirect to https:// of the same host", "a redirect to nowhere"):
        yield classify(Observation(http_status=302, description=description), slow=None)


def test_no_detail_repeats_the_words_of_its_outcome() -> None:
    """`connection refused: connection refused` is one phrase; where nothing is added the detail is empty."""
    seen = {(result.outcome, result.detail) for result in results()}
    assert len(seen) > 40
    for outcome, detail in sorted(seen, key=str):
        twice = content_words(outcome.words) & content_words(detail)
        assert not twice, f"{outcome.words}: {detail}"


def test_the_summary_is_the_words_alone_where_nothing_is_added() -> None:
    """For where no outcome stands beside it."""
    assert CheckResult(outcome=Outcome.CONNECTION_REFUSED).summary == "connection refused"
    late = CheckResult(outcome=Outcome.TLS_TIMEOUT, detail="not ended within 1 s")
    assert late.summary == "TLS handshake timed out: not ended within 1 s"


def test_the_details_here_are_those_of_the_module() -> None:
    """A mistake of a URL or token that is added is tried above as well, by its beginning."""
    source = Path(credentials.__file__).read_text(encoding="utf-8")
    worded = set(re.findall(r'return f?"((?:is|has|holds|begins|ends|names|cannot|does) [^"{]+)', source))
    tried = " ".join(result.detail for result in results())
    assert [words for words in worded if words.strip() not in tried] == []


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize("text", ["ERR IP address is not allowed", "Unauthorized: IP not in the allowlist"])
def test_an_address_that_is_not_allowed_is_no_matter_of_the_token(text: str, status: int) -> None:
    """Whatever status it comes with: to replace the token would help nobody."""
    result = classify(Observation(http_status=status, error_text=text), slow=None)
    assert (result.outcome, result.detail) == (Outcome.ACCESS_DENIED, text)
