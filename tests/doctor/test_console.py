"""The Upstash console: what its API says of a database, with calls that only read, and no token in the details."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from monitor.checks.observation import Fact
from monitor.diagnosis.verdicts import Layer, LayerState
from monitor.doctor.console import ConsoleKey, ConsoleResult, read_console
from monitor.lib.text import Secret
from monitor.sandbox.console import NO_LIMIT, ConsoleStandIn, Database
from monitor.sandbox.server import WebFault

EMAIL, API_KEY = "owner@example.com", "k3y-0f-the-wh0le-acc0unt-7f3a"
HOST = "merry-cat-12345.upstash.io"
TOKEN = "AXt0kenOfTheDatabase0123456789abcdef"
PASSWORD = "0123456789abcdef0123456789abcdef"
LONG = timedelta(seconds=20)
KEY = ConsoleKey(email=EMAIL, api_key=Secret(API_KEY))


class AccountWithDatabase:
    """An account of the console with one database, and what the doctor reads of it."""

    def __init__(self, console: ConsoleStandIn) -> None:
        self.console = console
        self.database: Database = console.add("merry-cat-12345", rest_token=TOKEN)

    def check(
        self,
        *,
        token: str = TOKEN,
        origin: str = f"https://{HOST}",
        key: ConsoleKey = KEY,
        timeout: timedelta = LONG,
    ) -> ConsoleResult:
        """Read the console; the result may never hold a secret."""
        found = read_console(key, console_url=self.console.url, origin=origin, token=token, timeout=timeout)
        database = self.database
        shown = f"{found!r} {found.result.detail}"
        for secret in (database.rest_token, database.read_only_rest_token, database.password, API_KEY, token):
            assert not secret.strip() or secret.strip() not in shown
        assert found.result.layer is Layer.CONSOLE
        assert found.result.detail.isprintable()
        return found


def state_and_facts(found: ConsoleResult) -> tuple[LayerState, set[Fact]]:
    return found.result.state, set(found.result.facts)


@pytest.fixture
def account() -> Iterator[AccountWithDatabase]:
    with ConsoleStandIn(email=EMAIL, api_key=API_KEY) as console:
        yield AccountWithDatabase(console)


def test_a_healthy_database_passes_with_its_figures(account: AccountWithDatabase) -> None:
    """State, plan, commands against the limit, storage against the limit, and that the token is the console's."""
    found = account.check()
    assert state_and_facts(found) == (LayerState.PASSED, {Fact.CONSOLE_TOKEN_IS_OURS})
    assert found.result.detail == (
        "active · plan free · 1,200 of 500,000 commands this month · 0.0 of 50 GB bandwidth this month"
        " · 1.0 of 256 MB stored · token equal"
    )
    assert found.database is not None
    assert found.database.url == f"https://{HOST}"
    assert found.database.rest_token.reveal() == TOKEN


def test_only_calls_that_read_are_made(account: AccountWithDatabase) -> None:
    """Three GETs, whatever is found; the call that resets a password is never among them."""
    account.check()
    account.database.state = "suspended"
    account.database.rotate()
    account.check()
    identity = account.database.database_id
    calls = [(request.method, request.target) for request in account.console.requests]
    assert (
        calls
        == [
            ("GET", "/v2/redis/databases"),
            ("GET", f"/v2/redis/database/{identity}"),
            ("GET", f"/v2/redis/stats/{identity}"),
        ]
        * 2
    )
    assert {request.body for request in account.console.requests} == {b""}


@pytest.mark.parametrize("endpoint", ["merry-cat-12345", HOST, HOST.upper()])
def test_a_database_is_found_by_slug_or_by_whole_host(account: AccountWithDatabase, endpoint: str) -> None:
    """The API has been seen to give either; another database of the account is not taken for it."""
    account.console.databases.clear()
    account.console.add("merry-cat", rest_token="AXother")
    account.database = account.console.add(endpoint, rest_token=TOKEN)
    assert Fact.CONSOLE_TOKEN_IS_OURS in account.check().result.facts


def test_a_deleted_database_does_not_hide_the_one_that_has_its_endpoint_now(account: AccountWithDatabase) -> None:
    """The list may have both, the deleted one first."""
    account.database.state = "deleted"
    account.database = account.console.add(account.database.endpoint, rest_token=TOKEN)
    found = account.check()
    assert found.result.facts == {Fact.CONSOLE_TOKEN_IS_OURS}
    assert found.database is not None


def test_a_database_the_account_does_not_have_is_absent(account: AccountWithDatabase) -> None:
    """Deleted, archived, mistyped, or somebody else's: the other layers show which."""
    for origin in ("https://merry-dog-12345.upstash.io", "https://merry-cat-12345.example.com"):
        found = account.check(origin=origin)
        assert (found.result.state, found.database) == (LayerState.FAILED, None)
        assert found.result.facts == {Fact.CONSOLE_HAS_NO_SUCH_DATABASE}


def test_a_rotated_token_is_different_until_the_new_one_arrives(account: AccountWithDatabase) -> None:
    """Equal; reset in the console, so different; the new token set here, so equal again."""
    assert Fact.CONSOLE_TOKEN_IS_OURS in account.check().result.facts
    account.database.rotate()
    found = account.check()
    # Whether that is a failure only the database can say: an ACL user's token is another one, and works.
    assert state_and_facts(found) == (LayerState.PASSED, {Fact.CONSOLE_TOKEN_DIFFERS})
    assert found.result.detail.endswith("another token than the console's")
    assert account.check(token=account.database.rest_token).result.facts == {Fact.CONSOLE_TOKEN_IS_OURS}


def test_the_read_only_token_is_ours_and_read_only(account: AccountWithDatabase) -> None:
    """It is the console's as well, but rediss:// and writes want another."""
    found = account.check(token=account.database.read_only_rest_token)
    assert found.result.state is LayerState.PASSED
    assert found.result.facts == {Fact.CONSOLE_TOKEN_IS_OURS, Fact.TOKEN_IS_READ_ONLY}


def test_an_older_databases_password_is_not_taken_for_an_old_token(account: AccountWithDatabase) -> None:
    """Not an old token, but the wrong field of the console's page: nothing was rotated."""
    account.console.databases.clear()
    account.database = account.console.add(HOST, rest_token=TOKEN, password=PASSWORD)
    found = account.check(token=PASSWORD)
    assert state_and_facts(found) == (LayerState.FAILED, {Fact.TOKEN_IS_A_PASSWORD})


def test_a_newline_around_the_right_token_is_not_an_old_token(account: AccountWithDatabase) -> None:
    """The configuration layer has found the newline; this layer shows that the rest is right."""
    found = account.check(token=f"{TOKEN}\n")
    assert found.result.facts == frozenset()
    assert found.result.detail.endswith("token equal but for the space around it")


@pytest.mark.parametrize(
    ("token", "words"), [("", "no token here to compare"), (" \n", "no token here to compare")]
)
def test_without_a_token_nothing_is_compared(account: AccountWithDatabase, token: str, words: str) -> None:
    """An empty variable is not a different token."""
    found = account.check(token=token)
    assert (found.result.state, found.result.facts) == (LayerState.PASSED, frozenset())
    assert found.result.detail.endswith(words)


@pytest.mark.parametrize(
    "extra", [{}, {"rest_token": "*****"}, {"rest_token": "AX•••••"}, {"rest_token": None}, {"rest_token": 7}]
)
def test_a_console_that_gives_no_token_leaves_it_open(account: AccountWithDatabase, extra: dict[str, Any]) -> None:
    """Credential protection, or a field that is gone or masked: a fact, and no token is called different."""
    account.database.shows_credentials = False
    account.database.extra = extra
    found = account.check()
    assert (found.result.state, found.database) == (LayerState.PASSED, None)
    assert found.result.facts == {Fact.CONSOLE_HIDES_TOKEN}
    assert found.result.detail.endswith("it does not show the token")


def test_a_password_that_is_masked_is_none(account: AccountWithDatabase) -> None:
    """Like a token: the stars are no secret that anything could be compared with."""
    account.database.extra = {"password": "*****", "read_only_rest_token": "Ag•••••"}
    database = account.check().database
    assert database is not None
    assert (bool(database.password), bool(database.read_only_rest_token)) == (False, False)


def test_a_suspended_database_is_a_fact(account: AccountWithDatabase) -> None:
    """The budget is shown beside what was spent."""
    account.database.state, account.database.type = "suspended", "payg"
    account.database.budget, account.database.billing, account.database.command_limit = 20, 20.5, NO_LIMIT
    account.database.bandwidth_limit_gb = 0
    found = account.check()
    assert found.result.state is LayerState.FAILED
    assert Fact.CONSOLE_SUSPENDED in found.result.facts
    assert "suspended · plan payg · 1,200 commands this month · $20.50 of a $20 budget" in found.result.detail


@pytest.mark.parametrize(
    ("used", "limit", "is_used_up"),
    [
        (499_999, 500_000, False),
        (500_000, 500_000, True),
        (900_000, NO_LIMIT, False),
        (900_000, 0, False),
        (900_000, -1, False),
    ],
)
def test_commands_are_used_up_at_the_limit(
    account: AccountWithDatabase, used: int, limit: int, is_used_up: bool
) -> None:
    """The largest 64-bit number, zero and less than that are Upstash's ways to say that there is no limit."""
    account.database.commands_used, account.database.command_limit = used, limit
    assert (Fact.CONSOLE_COMMANDS_USED_UP in account.check().result.facts) is is_used_up


@pytest.mark.parametrize(
    ("used", "limit", "is_used_up"),
    [(50 * 2**30 - 1, 50, False), (50 * 2**30, 50, True), (2**60, 0, False), (2**60, NO_LIMIT, False)],
)
def test_bandwidth_that_is_used_up_is_a_fact(
    account: AccountWithDatabase, used: int, limit: int, is_used_up: bool
) -> None:
    """It explains a suspension; by itself it fails nothing, since the unit of the limit is documented nowhere."""
    account.database.bandwidth_used, account.database.bandwidth_limit_gb = used, limit
    found = account.check()
    assert (Fact.CONSOLE_BANDWIDTH_USED_UP in found.result.facts) is is_used_up
    assert found.result.state is LayerState.PASSED
    account.database.state = "suspended"
    assert (Fact.CONSOLE_BANDWIDTH_USED_UP in account.check().result.facts) is is_used_up


def test_storage_is_full_at_the_limit_unless_keys_are_evicted(account: AccountWithDatabase) -> None:
    """With eviction a database at its limit makes room by itself."""
    account.database.storage_used = account.database.storage_limit
    found = account.check()
    assert Fact.CONSOLE_STORAGE_FULL in found.result.facts
    assert "256.0 of 256 MB stored" in found.result.detail
    account.database.eviction = True
    assert Fact.CONSOLE_STORAGE_FULL not in account.check().result.facts


def test_an_allowlist_is_a_fact_and_fails_nothing(account: AccountWithDatabase) -> None:
    """It matters only where no connection stands."""
    account.database.has_allowlist = True
    found = account.check()
    assert found.result.state is LayerState.PASSED
    assert Fact.CONSOLE_ALLOWLIST in found.result.facts
    assert "IP allowlist on" in found.result.detail


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("passive", "passive, which Upstash does not explain"),
        ("AXt0kenOfTheDatabase0123456789abcdef", "in a state that is not known here"),
        ("", "in a state that is not known here"),
    ],
)
def test_a_state_nobody_knows_is_unknown(account: AccountWithDatabase, state: str, words: str) -> None:
    """And is not repeated: a foreign text might hold anything."""
    account.database.state = state
    found = account.check()
    assert found.result.state is LayerState.UNKNOWN
    assert found.result.detail.startswith(words)


def test_a_deleted_database_counts_as_absent(account: AccountWithDatabase) -> None:
    """Older documentation names that state."""
    account.database.state = "deleted"
    assert Fact.CONSOLE_HAS_NO_SUCH_DATABASE in account.check().result.facts


def test_a_wrong_key_is_unknown(account: AccountWithDatabase) -> None:
    """A mistake in our key is no failure of the database."""
    found = account.check(key=ConsoleKey(email=EMAIL, api_key=Secret("wrong")))
    assert (found.result.state, found.result.facts, found.database) == (
        LayerState.UNKNOWN,
        frozenset(),
        None,
    )
    assert found.result.detail == "not read: the key is not accepted (401)"


@pytest.mark.parametrize(
    "fault", [fault for fault in WebFault if fault not in (WebFault.NONE, WebFault.HANG, WebFault.DRIP)]
)
@pytest.mark.parametrize("part", ["/v2/redis/databases", "/v2/redis/database/"])
def test_an_odd_answer_is_unknown(account: AccountWithDatabase, fault: WebFault, part: str) -> None:
    """403, 404, 429, 5xx, HTML, cut or foreign JSON, at either call: no verdict, and nothing to compare with."""
    account.console.fault_of[part] = fault
    found = account.check()
    assert (found.result.state, found.result.facts, found.database) == (
        LayerState.UNKNOWN,
        frozenset(),
        None,
    )
    assert found.result.detail.startswith("not read: ")


@pytest.mark.parametrize("fault", [fault for fault in WebFault if fault is not WebFault.NONE])
def test_without_its_stats_the_rest_is_known(account: AccountWithDatabase, fault: WebFault) -> None:
    """The state and the token are worth having without the usage."""
    account.console.fault_of["/v2/redis/stats/"] = fault
    found = account.check(timeout=timedelta(seconds=1))
    assert state_and_facts(found) == (LayerState.PASSED, {Fact.CONSOLE_TOKEN_IS_OURS})
    assert fault is WebFault.OTHER_SHAPE or "usage not read" in found.result.detail


@pytest.mark.parametrize("identity", ["../reset-password/x", "", None, 7, "x" * 65, "another"])
def test_an_odd_id_is_never_put_into_a_path(account: AccountWithDatabase, identity: object) -> None:
    """What comes from outside does not choose which call is made."""
    account.database.extra = {"database_id": identity}
    found = account.check()
    assert found.result.state is LayerState.UNKNOWN
    assert {request.target.split("/")[3] for request in account.console.requests} <= {"databases", "database"}


@pytest.mark.parametrize(
    "extra",
    [
        {"db_request_limit": "500000", "budget": None, "db_disk_threshold": True},
        {"db_request_limit": 10**400, "type": 7, "securityAddons": [1]},
        {"type": "AXt0kenOfTheDatabase0123456789abcdef", "modifying_state": {}, "eviction": "yes"},
    ],
)
def test_fields_of_another_type_are_left_out(account: AccountWithDatabase, extra: dict[str, Any]) -> None:
    """A changed field costs that field and nothing else."""
    account.database.extra = extra
    found = account.check()
    assert state_and_facts(found) == (LayerState.PASSED, {Fact.CONSOLE_TOKEN_IS_OURS})


@pytest.mark.parametrize("fault", [WebFault.HANG, WebFault.DRIP])
@pytest.mark.parametrize("part", ["/v2/redis/databases", "/v2/redis/database/", "/v2/redis/stats/"])
def test_a_console_that_hangs_or_drips_ends_at_the_timeout(
    account: AccountWithDatabase, fault: WebFault, part: str
) -> None:
    """At whichever call: the time given is for all of them together."""
    account.console.fault_of[part] = fault
    began = monotonic()
    account.check(timeout=timedelta(seconds=0.5))
    assert monotonic() - began < 5


def test_the_key_leaves_only_through_encryption_or_within_this_machine() -> None:
    """A mistyped http:// would send the key of the whole account in the clear."""
    found = read_console(
        KEY, console_url="http://api.upstash.com", origin=f"https://{HOST}", token=TOKEN, timeout=LONG
    )
    assert found.result.state is LayerState.UNKNOWN
    assert "no key was sent" in found.result.detail


def test_a_netrc_file_does_not_replace_the_key(
    account: AccountWithDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HTTP library would otherwise prefer whatever stands there for the host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    assert account.check().result.state is LayerState.PASSED
    pair = base64.b64encode(f"{EMAIL}:{API_KEY}".encode()).decode()
    assert {request.headers["authorization"] for request in account.console.requests} == {f"Basic {pair}"}


@pytest.mark.parametrize(
    ("environment", "is_there"),
    [
        ({"UPSTASH_EMAIL": EMAIL, "UPSTASH_API_KEY": API_KEY}, True),
        ({"UPSTASH_EMAIL": EMAIL, "UPSTASH_API_KEY": " "}, False),
        ({"UPSTASH_API_KEY": API_KEY}, False),
        ({}, False),
    ],
)
def test_the_key_is_taken_from_the_environment_when_both_halves_are_there(
    environment: dict[str, str],
    is_there: bool,
) -> None:
    """One half opens nothing."""
    key = ConsoleKey.from_environment(environment)
    assert (key is not None) is is_there
    assert API_KEY not in repr(key)
