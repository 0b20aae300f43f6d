"""HTTP without a token, the token, reading, writing: against a database whose answers are replaced one by one."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from time import monotonic

import pytest

from monitor.checks.observation import Fact, Outcome
from monitor.checks.rest import RestProbe, RestProbeFactory
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.doctor import database as rest
from monitor.doctor.database import judge_token_and_ping
from monitor.lib.text import Scrubber
from tests.checks.listener import port_that_refuses
from tests.checks.rest_database import TOKEN, Answer, Instead, RestDatabase, hang, refusal

SHORT = timedelta(seconds=0.4)
LONG = timedelta(seconds=20)
CAPACITY = "ERR DB capacity quota exceeded. Threshold: 1 bytes, Usage: 2 bytes"
QUOTA = "ERR max requests limit exceeded. Limit: 500000, Usage: 500000. See https://upstash.com"
NOPERM = "NOPERM this user has no permissions to run the 'set' command"
NO_KEY = "NOPERM this user has no permissions to access one of the keys used as arguments"
PREFIX = "app:canary:"


async def examine_http(probe: RestProbe, *, timeout: timedelta) -> LayerResult:
    """The layer of HTTP, with the request with the token behind it."""
    return await rest.examine_http(probe, timeout=timeout, ping=partial(probe.ping, timeout=timeout))


async def examine_token(probe: RestProbe, *, timeout: timedelta, slow: timedelta | None = None) -> LayerResult:
    """The layer of the token alone."""
    return judge_token_and_ping(await probe.ping(timeout=timeout), slow=slow)[0]


async def examine_ping(probe: RestProbe, *, timeout: timedelta, slow: timedelta | None = None) -> LayerResult:
    """The layer of PING alone."""
    return judge_token_and_ping(await probe.ping(timeout=timeout), slow=slow)[1]


async def examine_reading(probe: RestProbe, *, timeout: timedelta) -> LayerResult:
    """The layer of reading, with keys of the tests' prefix."""
    return await rest.examine_reading(probe, PREFIX, timeout=timeout)


async def examine_writing(probe: RestProbe, *, timeout: timedelta) -> LayerResult:
    """The layer of writing, with keys of the tests' prefix."""
    return await rest.examine_writing(probe, PREFIX, timeout=timeout)


@pytest.fixture
def database() -> Iterator[RestDatabase]:
    with RestDatabase() as server:
        yield server


# No encryption here, so nothing need be trusted; reading in a list of authorities would take longer than a check.
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def examine(
    layer: Callable[..., Awaitable[LayerResult]],
    database: RestDatabase | str,
    *,
    token: str = TOKEN,
    timeout: timedelta = LONG,
) -> LayerResult:
    """One layer, examined as the doctor does."""

    async def check() -> LayerResult:
        url = database if isinstance(database, str) else database.url
        probe: RestProbe = RestProbeFactory(scrub=Scrubber([token]), tls=TLS).probe(url=url, token=token)
        return await layer(probe, timeout=timeout)

    return asyncio.run(check())


def test_401_in_json_proves_the_edge_alive(database: RestDatabase) -> None:
    """That is what Upstash says to whoever comes without a token, whatever the token is worth."""
    result = examine(examine_http, database)
    assert (result.layer, result.state, result.outcome) == (Layer.HTTP, LayerState.PASSED, None)
    assert result.detail == "401 in JSON: asks for a token"


def test_the_request_without_a_token_does_not_hold_it(database: RestDatabase) -> None:
    """Not in a header, not in the path, not in the body; the token's own layer comes later."""
    examine(examine_http, database)
    (request,) = database.received
    assert request.words[0] == "PING"
    assert "authorization" not in request.headers
    assert TOKEN not in json.dumps([request.words, request.path, request.headers])


def test_http_is_examined_with_a_token_that_cannot_be_sent(database: RestDatabase) -> None:
    """A malformed token stops the token's layer alone."""
    assert examine(examine_http, database, token="tokeñ \n").state is LayerState.PASSED


@pytest.mark.parametrize(
    ("url", "token"),
    [("", "token"), ("https://a-b-1.upstash.io:6379", "token"), ("https://a-b-1.upstash.io", "•••••••••")],
)
def test_what_is_wrong_with_a_value_is_told_once(url: str, token: str) -> None:
    """The outcome's words stand in front of the detail wherever it is shown."""
    result = rest.examine_configuration(url, token)
    assert result.outcome is not None
    assert result.detail
    assert result.outcome.words not in result.detail


@pytest.mark.parametrize(
    "answer",
    [
        refusal("Unauthorized", 401),
        refusal("Missing/Invalid authorization header", 400),
        refusal("Unauthorized", 200),
        lambda database: database._run(database.received[-1].words),
        Answer(status=200, body="<html>log in</html>", kind="text/html; charset=utf-8"),
        Answer(status=401, body="<html>proxy</html>", kind="TEXT/HTML"),
        Answer(status=403, body="<html>no</html>", kind="text/html"),
        Answer(status=302, body="", kind="", headers=(("Location", "https://console.upstash.com"),)),
        Answer(status=308, body="{}"),
        Answer(status=500, body="", kind="text/plain"),
        Answer(status=503, body="{}"),
        refusal("upstream down", 502),
        Answer(status=401, body=""),
        Answer(status=404, body='{"message":"not found"}'),
        Answer(status=429, body="{}"),
        Answer(status=200, body='{"result":"PONG"}'),
    ],
)
def test_any_answer_shows_that_http_stands(database: RestDatabase, answer: Instead) -> None:
    """What a request without a token meets proves nothing against the one with it, which decides."""
    database.door = answer
    result = examine(examine_http, database)
    assert (result.state, result.outcome) == (LayerState.PASSED, None)
    assert result.detail
    assert result.detail.isprintable()


def test_http_fails_where_no_answer_comes(database: RestDatabase) -> None:
    """The connection was cut before a status line, with and without a token."""
    database.door, database.instead = None, {"PING": None}
    result = examine(examine_http, database)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_LOST)


@pytest.mark.parametrize("door", [None, hang])
@pytest.mark.parametrize("instead", [{}, {"PING": Answer(status=502)}, {"PING": refusal("WRONGPASS nobody", 401)}])
def test_an_edge_that_answers_only_those_with_a_token_speaks_http(
    database: RestDatabase, door: Instead, instead: dict[str, Instead]
) -> None:
    """nginx has a status of its own for hanging up on strangers (444). The token's answer decides the rest."""
    database.door, database.instead = door, instead
    result = examine(examine_http, database, timeout=timedelta(seconds=1) if door else LONG)
    assert (result.state, result.outcome) == (LayerState.PASSED, None)
    assert result.detail == "no answer without a token, but one with it"
    assert len(database.received) == 2


def test_an_answer_without_a_token_is_noted_as_an_emulators(database: RestDatabase) -> None:
    """It passes, since the edge answers; what it says shows that it is not Upstash's."""
    database.door = refusal("Missing/Invalid authorization header", 400)
    assert examine(examine_http, database).detail == "400 in JSON: Missing/Invalid authorization header"


@pytest.mark.parametrize("layer", [examine_http, examine_ping, examine_reading, examine_writing])
def test_a_host_that_hangs_ends_each_layer_at_the_deadline(
    database: RestDatabase, layer: Callable[..., Awaitable[LayerResult]]
) -> None:
    """Writing has three steps and one deadline over all of them."""
    database.door = hang
    database.instead = dict.fromkeys(("PING", "GET", "SET", "DEL"), hang)
    begun = monotonic()
    result = examine(layer, database, timeout=SHORT)
    assert monotonic() - begun < 10
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.RESPONSE_TIMEOUT)


@pytest.mark.parametrize("layer", [examine_http, examine_ping, examine_reading, examine_writing])
def test_a_port_that_refuses_fails_each_layer(layer: Callable[..., Awaitable[LayerResult]]) -> None:
    """The layer below may have passed a moment ago."""
    result = examine(layer, f"http://127.0.0.1:{port_that_refuses()}")
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.CONNECTION_REFUSED)


def test_a_good_token_passes(database: RestDatabase) -> None:
    """The same `PING` as every check, with its latency."""
    result = examine(examine_ping, database)
    assert (result.layer, result.state, result.outcome) == (Layer.PING, LayerState.PASSED, None)
    assert result.detail.startswith("answered in ")
    assert examine(examine_token, database).state is LayerState.PASSED


def test_a_slow_answer_passes_and_keeps_its_outcome(database: RestDatabase) -> None:
    """The verdicts have a row for a database that works, but slower than the limit that was set."""
    result = examine(partial(examine_ping, slow=timedelta(microseconds=1)), database)
    assert (result.state, result.outcome) == (LayerState.PASSED, Outcome.SLOW)
    assert "the limit is" in result.detail


@pytest.mark.parametrize(
    ("answer", "token", "outcome"),
    [
        (refusal(NOPERM), "passed", Outcome.PERMISSION_DENIED),
        (refusal(QUOTA), "passed", Outcome.QUOTA_EXCEEDED),
        (refusal("ERR unknown command"), "passed", Outcome.COMMAND_ERROR),
        (refusal("Unauthorized: invalid token"), "unknown", Outcome.COMMAND_ERROR),
        (refusal("IP is not allowed"), "unknown", Outcome.ACCESS_DENIED),
        (refusal("ERR This database has been suspended for exceeding"), "unknown", Outcome.SUSPENDED),
        (Answer(status=429, body=""), "unknown", Outcome.RATE_LIMITED),
        (Answer(status=502, body=""), "unknown", Outcome.SERVER_ERROR),
        (Answer(body='{"result":"UE9ORw=="}'), "unknown", Outcome.NOT_UPSTASH),
        (None, "unknown", Outcome.CONNECTION_LOST),
    ],
)
def test_ping_fails_with_the_checks_outcome_and_the_token_by_what_was_shown(
    database: RestDatabase, answer: Instead, token: str, outcome: Outcome
) -> None:
    """A database that refuses the command has accepted the token; where nothing was said of it, it is unknown."""
    database.instead = {"PING": answer}
    result = examine(examine_ping, database)
    assert (result.state, result.outcome) == (LayerState.FAILED, outcome)
    assert examine(examine_token, database).state is LayerState(token)


def test_a_wrong_token_fails_and_leaves_ping_out(database: RestDatabase) -> None:
    """The database answers what it answers to every unknown token."""
    result = examine(examine_token, database, token="AnotherToken-of_nobody")
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.TOKEN_REJECTED)
    assert examine(examine_ping, database, token="AnotherToken-of_nobody").state is LayerState.SKIPPED


def test_reading_expects_nothing_under_a_key_that_nobody_wrote(database: RestDatabase) -> None:
    """Null comes back, under the prefix that is set for the monitor's keys."""
    result = examine(examine_reading, database)
    assert (result.layer, result.state, result.outcome) == (Layer.READING, LayerState.PASSED, None)
    (request,) = database.received
    assert request.words[0] == "GET"
    assert request.words[1].startswith(PREFIX)
    assert examine(examine_reading, database).state is LayerState.PASSED
    assert database.received[1].words[1] != request.words[1]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (refusal(NOPERM), Outcome.PERMISSION_DENIED),
        (refusal(QUOTA), Outcome.QUOTA_EXCEEDED),
        (refusal(CAPACITY), Outcome.CAPACITY_FULL),
        (Answer(body="{}"), Outcome.NOT_UPSTASH),
        (Answer(status=500, body=""), Outcome.SERVER_ERROR),
        (None, Outcome.CONNECTION_LOST),
    ],
)
def test_reading_fails_by_name(database: RestDatabase, answer: Instead, outcome: Outcome) -> None:
    """A quota that a friendly `PING` hides shows here."""
    database.instead = {"GET": answer}
    result = examine(examine_reading, database)
    assert (result.state, result.outcome) == (LayerState.FAILED, outcome)


def test_a_value_that_was_never_written_is_left_to_the_canary(database: RestDatabase) -> None:
    """As a check says of the same answer: a stale read, and not that this is no Upstash database."""
    database.instead = {"GET": Answer(body='{"result":"c29tZXRoaW5n"}')}
    result = examine(examine_reading, database)
    assert (result.state, result.outcome) == (LayerState.UNKNOWN, None)
    assert result.detail == "GET of a key that was never written: another value"
    result = examine(examine_writing, database)
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.STALE_READ)


def test_writing_leaves_nothing_behind(database: RestDatabase) -> None:
    """Written with an expiry of a minute, read back, deleted: three commands and an empty database."""
    result = examine(examine_writing, database)
    assert (result.layer, result.state, result.outcome) == (Layer.WRITING, LayerState.PASSED, None)
    assert database.commands == ["SET", "GET", "DEL"]
    setting, getting, deleting = (request.words for request in database.received)
    assert setting[1].startswith(PREFIX)
    assert setting[3:] == ["EX", 60]
    assert getting[1] == deleting[1] == setting[1]
    assert database.keyspace.run(["DBSIZE"]) == 0


def test_what_was_written_is_read_from_a_replica_that_has_it(database: RestDatabase) -> None:
    """A global database answers from the nearest region, which waits for the write when it gets the sync token."""
    examine(examine_writing, database)
    setting, getting, _ = database.received
    assert "upstash-sync-token" not in setting.headers
    assert getting.headers["upstash-sync-token"] == "sync-1"


@pytest.mark.parametrize("sync_token", ["", "tökén"])
def test_a_strange_sync_token_does_no_harm(database: RestDatabase, sync_token: str) -> None:
    """A foreign header goes back to where it came from only as far as it can stand in a header."""
    ok = Answer(body='{"result":"OK"}', headers=(("Upstash-Sync-Token", sync_token),))
    database.instead = {"SET": ok}
    assert examine(examine_writing, database).outcome is Outcome.STALE_READ  # the key was never written
    assert database.received[1].headers.get("upstash-sync-token", "").isascii()


@pytest.mark.parametrize(
    ("step", "answer", "outcome", "asked"),
    [
        ("SET", refusal(NOPERM), Outcome.PERMISSION_DENIED, ["SET", "GET", "DEL"]),
        ("SET", refusal(CAPACITY), Outcome.CAPACITY_FULL, ["SET", "DEL"]),
        ("SET", refusal(QUOTA), Outcome.QUOTA_EXCEEDED, ["SET", "DEL"]),
        ("SET", None, Outcome.CONNECTION_LOST, ["SET", "DEL"]),
        ("SET", Answer(status=500, body=""), Outcome.SERVER_ERROR, ["SET", "DEL"]),
        ("SET", Answer(body='{"result":"NO"}'), Outcome.NOT_UPSTASH, ["SET", "DEL"]),
        ("SET", Answer(body='{"result":null}'), Outcome.STALE_READ, ["SET", "GET", "DEL"]),
        ("SET", Answer(status=503, body='{"result":null}'), Outcome.SERVER_ERROR, ["SET", "DEL"]),
        ("GET", refusal(NOPERM), Outcome.PERMISSION_DENIED, ["SET", "GET", "DEL"]),
        ("GET", Answer(body='{"result":null}'), Outcome.STALE_READ, ["SET", "GET", "DEL"]),
        ("GET", Answer(body='{"result":"YW5vdGhlcg=="}'), Outcome.STALE_READ, ["SET", "GET", "DEL"]),
        ("GET", Answer(body="<html>", kind="text/html"), Outcome.NOT_UPSTASH, ["SET", "GET", "DEL"]),
        ("GET", Answer(body='{"result":["a"]}'), Outcome.NOT_UPSTASH, ["SET", "GET", "DEL"]),
        ("GET", Answer(status=503), Outcome.SERVER_ERROR, ["SET", "GET", "DEL"]),
        ("GET", refusal("ERR strange"), Outcome.COMMAND_ERROR, ["SET", "GET", "DEL"]),
        ("GET", None, Outcome.CONNECTION_LOST, ["SET", "GET", "DEL"]),
        ("DEL", refusal(QUOTA), Outcome.QUOTA_EXCEEDED, ["SET", "GET", "DEL"]),
        ("DEL", None, Outcome.CONNECTION_LOST, ["SET", "GET", "DEL"]),
    ],
)
def test_each_step_of_writing_fails_by_name_and_the_key_is_deleted_all_the_same(
    database: RestDatabase, step: str, answer: Instead, outcome: Outcome, asked: list[str]
) -> None:
    """An answer that was lost may have left a key behind, so the deletion is tried whatever happened."""
    database.instead = {step: answer}
    result = examine(examine_writing, database)
    assert (result.state, result.outcome) == (LayerState.FAILED, outcome)
    assert result.detail.startswith(f"{step}: ")
    assert database.commands == asked
    assert ("within a minute" in result.detail) is (step == "DEL")
    if step != "DEL":
        assert database.keyspace.run(["DBSIZE"]) == 0


def test_a_set_that_answers_null_is_judged_by_what_is_read_back(database: RestDatabase) -> None:
    """PING has shown an Upstash database, so null is no stranger's answer: the key is there, or it is not."""

    def write_and_answer_null(database: RestDatabase) -> Answer:
        database._run([str(word) for word in database.received[-1].words])
        return Answer(body='{"result":null}')

    database.instead = {"SET": write_and_answer_null}
    assert examine(examine_writing, database).state is LayerState.PASSED
    database.instead = {"SET": Answer(body='{"result":null}')}
    assert examine(examine_writing, database).detail == "SET: null; GET: null in place of what was written"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"result":null}', "null"),
        ('{"result":"YW5vdGhlcg=="}', "another value"),
        ('{"result":"not encoded"}', "another value"),
    ],
)
def test_what_was_read_in_place_of_what_was_written_is_told(database: RestDatabase, body: str, found: str) -> None:
    """A replica that lags, an eviction, somebody else's write: the database is there, and it is Upstash's move."""
    database.instead = {"GET": Answer(body=body)}
    assert examine(examine_writing, database).detail == f"GET: {found} in place of what was written"


@pytest.mark.parametrize(
    ("layer", "step"), [(examine_reading, "GET"), (examine_writing, "SET"), (examine_writing, "GET")]
)
@pytest.mark.parametrize(
    "text",
    [
        NO_KEY,
        "NOPERM No permissions to access a key",
        "NOPERM User app has no permissions to access the 'app:canary:1' key",
        "noperm this user has no permissions to access one of the keys used as arguments, command was: [...]",
    ],
)
def test_a_key_that_is_not_allowed_says_nothing_of_the_workers_keys(
    database: RestDatabase, layer: Callable[..., Awaitable[LayerResult]], step: str, text: str
) -> None:
    """Neither passed, which claims a write, nor failed, which blames the token: unknown, with the fact."""
    database.instead = {step: refusal(text)}
    result = examine(layer, database)
    assert (result.state, result.outcome) == (LayerState.UNKNOWN, None)
    assert result.facts == {Fact.KEY_NOT_ALLOWED}
    assert result.detail == f"the canary's key is not allowed: {step}: {text}"
    if layer is examine_writing:
        assert database.keyspace.run(["DBSIZE"]) == 0


@pytest.mark.parametrize(
    "text",
    [
        NOPERM,
        "NOPERM User 'key' has no permissions to run the 'set' command",
        "NOPERM this user has no permissions to access one of the channels used as arguments",
    ],
)
def test_a_command_that_is_not_allowed_is_the_tokens_matter(database: RestDatabase, text: str) -> None:
    """The worker that writes with this token fails too, whatever its keys."""
    database.instead = {"SET": refusal(text)}
    result = examine(examine_writing, database)
    assert (result.state, result.outcome, result.facts) == (
        LayerState.FAILED,
        Outcome.PERMISSION_DENIED,
        frozenset(),
    )


@pytest.mark.parametrize("text", ["NOPERM this user has no permissions to run the 'del' command", NO_KEY])
def test_a_deletion_that_is_not_allowed_is_no_trouble(database: RestDatabase, text: str) -> None:
    """It wrote and read, so the token is no read-only one; the key goes by itself."""
    database.instead = {"DEL": refusal(text)}
    result = examine(examine_writing, database)
    assert (result.state, result.outcome) == (LayerState.PASSED, None)
    assert result.facts == {Fact.DELETE_NOT_ALLOWED}
    assert "expires within a minute" in result.detail


@pytest.mark.parametrize("step", ["SET", "GET"])
def test_a_step_that_hangs_leaves_time_to_delete(database: RestDatabase, step: str) -> None:
    """A quarter of the deadline is kept for it."""
    database.instead = {step: hang}
    begun = monotonic()
    result = examine(examine_writing, database, timeout=timedelta(seconds=1))
    assert monotonic() - begun < 10
    assert (result.state, result.outcome) == (LayerState.FAILED, Outcome.RESPONSE_TIMEOUT)
    assert result.detail.startswith(f"{step}: ")
    assert database.commands[-1] == "DEL"


def test_a_write_that_was_done_though_its_answer_was_lost_is_undone(database: RestDatabase) -> None:
    """The key is there, the answer is not: the deletion finds it."""

    def write_and_hang_up(database: RestDatabase) -> None:
        database._run([str(word) for word in database.received[-1].words])

    database.instead = {"SET": write_and_hang_up}
    assert examine(examine_writing, database).outcome is Outcome.CONNECTION_LOST
    assert database.keyspace.run(["DBSIZE"]) == 0


@pytest.mark.parametrize("layer", [examine_http, examine_ping, examine_reading, examine_writing])
def test_no_layer_shows_the_token_when_the_server_repeats_it(
    database: RestDatabase, layer: Callable[..., Awaitable[LayerResult]]
) -> None:
    """Some servers repeat in their answer what they were sent, and some of that is stored and sent to people."""
    repeating = refusal(f"ERR you said Bearer {TOKEN} and\n{TOKEN[:12]}", 400)
    database.door = Answer(status=404, body=f"{TOKEN}", kind=f"text/{TOKEN}")
    database.instead = dict.fromkeys(("PING", "GET", "SET", "DEL"), repeating)
    result = examine(layer, database)
    assert "***" in result.detail
    assert TOKEN[:8] not in repr(result)
    assert result.detail.isprintable()
