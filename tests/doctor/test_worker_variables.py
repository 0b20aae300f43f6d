"""A worker's variables against ours, the console's and what the database accepts: what is set, what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.checks.observation import Fact
from monitor.diagnosis.verdicts import LayerResult, LayerState
from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.tried_values import Attempt, AttemptState
from monitor.doctor.worker_variables import (
    ExpectedValues,
    Variable,
    VariablePair,
    compare,
    credentials_to_try,
    find_pairs,
)
from monitor.lib.text import Secret

URL_NAME, TOKEN_NAME = "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"
HOST = "merry-cat-12345.upstash.io"
URL = f"https://{HOST}"
OLD, NEW, READ_ONLY = "AXold0000000000000000000", "AXnew1111111111111111111", "AgRO2222222222222222222"
PASSWORD = "0123456789abcdef0123456789abcdef"
CONSOLE = ConsoleDatabase(
    url=URL, rest_token=Secret(NEW), read_only_rest_token=Secret(READ_ONLY), password=Secret(PASSWORD)
)
MISSING, STAGED, DIFFERS = (
    Fact.WORKER_VARIABLE_MISSING,
    Fact.WORKER_VARIABLE_STAGED,
    Fact.WORKER_VARIABLE_DIFFERS,
)
REFUSED, WORKS = Fact.WORKER_TOKEN_REFUSED, Fact.WORKER_HAS_ANOTHER_TOKEN
SEALED, THE_CONSOLES = Fact.WORKER_VARIABLE_SEALED, Fact.WORKER_VARIABLE_IS_THE_CONSOLES


def variable(name: str, stored: str | None, *, running: str | None = None, staged: str | None = None) -> Variable:
    """A deployed variable; `running` where the running deployment has another value."""
    secrets = [None if text is None else Secret(text) for text in (stored, stored if running is None else running)]
    return Variable(
        name=name,
        stored=secrets[0],
        running=secrets[1],
        is_running_known=True,
        staged=None if staged is None else Secret(staged),
    )


def pair(url: str | None, token: str | None) -> dict[str, Variable]:
    given = {URL_NAME: url, TOKEN_NAME: token}
    return {name: variable(name, value) for name, value in given.items() if value is not None}


def ours(token: str = NEW, *, console: ConsoleDatabase | None = None, url: str = URL) -> ExpectedValues:
    return ExpectedValues(
        url=url, token=Secret(token), url_variable=URL_NAME, token_variable=TOKEN_NAME, console=console
    )


ACCEPTED, NOT_TRIED = AttemptState.ACCEPTED, AttemptState.NOT_TRIED


def judged(
    variables: dict[str, Variable],
    expected: ExpectedValues,
    answer: AttemptState = AttemptState.REFUSED,
    *,
    other_hosts: frozenset[str] = frozenset(),
) -> LayerResult:
    """The layer, where the database answers so to everything that has to be tried."""
    attempts = {
        one: Attempt(state=answer, detail="response timed out") for one in credentials_to_try(variables, expected)
    }
    return compare(variables, expected, attempts, other_hosts=other_hosts)


ROWS: list[tuple[str, dict[str, Variable], ExpectedValues, LayerState, set[Fact]]] = [
    ("the same as ours", pair(URL, NEW), ours(), LayerState.PASSED, set()),
    ("a slash at the end is the same place", pair(f"{URL}/", NEW), ours(), LayerState.PASSED, set()),
    ("as ours and the console's", pair(URL, NEW), ours(console=CONSOLE), LayerState.PASSED, {THE_CONSOLES}),
    (
        "the read-only token is the console's too",
        pair(URL, READ_ONLY),
        ours(console=CONSOLE),
        LayerState.PASSED,
        {THE_CONSOLES},
    ),
    ("nothing set", {}, ours(), LayerState.FAILED, {MISSING}),
    ("no token", pair(URL, None), ours(), LayerState.FAILED, {MISSING}),
    ("whitespace is nothing", pair(URL, "  "), ours(), LayerState.FAILED, {MISSING}),
    ("another token than ours", pair(URL, OLD), ours(), LayerState.FAILED, {DIFFERS, REFUSED}),
    ("another host than ours", pair("https://gone-dog-1.upstash.io", NEW), ours(), LayerState.FAILED, {DIFFERS}),
    (
        "ours and the worker's are both old",
        pair(URL, OLD),
        ours(OLD, console=CONSOLE),
        LayerState.FAILED,
        {REFUSED},
    ),
    ("only ours is old", pair(URL, NEW), ours(OLD, console=CONSOLE), LayerState.PASSED, {THE_CONSOLES}),
    ("only the worker's is old", pair(URL, OLD), ours(console=CONSOLE), LayerState.FAILED, {DIFFERS, REFUSED}),
    ("a newline in the worker's token", pair(URL, f"{NEW}\n"), ours(), LayerState.FAILED, {DIFFERS}),
    ("quotes around the worker's URL", pair(f'"{URL}"', NEW), ours(), LayerState.FAILED, {DIFFERS}),
    ("ours is malformed", pair(URL, OLD), ours(f"{OLD}\n"), LayerState.FAILED, {REFUSED}),
    (
        "ours is missing, the console's is there",
        pair(URL, NEW),
        ours("", console=CONSOLE),
        LayerState.PASSED,
        {THE_CONSOLES},
    ),
    (
        "right and not deployed",
        {**pair(URL, None), TOKEN_NAME: variable(TOKEN_NAME, NEW, running=OLD)},
        ours(OLD, console=CONSOLE),
        LayerState.FAILED,
        {STAGED, THE_CONSOLES},
    ),
    (
        "right and staged by a person",
        {**pair(URL, None), TOKEN_NAME: variable(TOKEN_NAME, OLD, staged=NEW)},
        ours(OLD, console=CONSOLE),
        LayerState.FAILED,
        {STAGED, THE_CONSOLES},
    ),
    (
        "wrong and staged by a person, over a value that works",
        {**pair(URL, None), TOKEN_NAME: variable(TOKEN_NAME, NEW, staged=OLD)},
        ours(),
        LayerState.FAILED,
        {STAGED, DIFFERS, REFUSED},
    ),
    (
        "sealed",
        {**pair(URL, None), TOKEN_NAME: Variable(name=TOKEN_NAME, is_sealed=True)},
        ours(console=CONSOLE),
        LayerState.UNKNOWN,
        {SEALED},
    ),
    (
        "sealed, and the URL is missing",
        {TOKEN_NAME: Variable(name=TOKEN_NAME, is_sealed=True)},
        ours(),
        LayerState.FAILED,
        {SEALED, MISSING},
    ),
]


@pytest.mark.parametrize(
    ("variables", "expected", "state", "facts"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_a_pair_of_variables_is_held_against_ours_and_the_consoles(
    variables: dict[str, Variable], expected: ExpectedValues, state: LayerState, facts: set[Fact]
) -> None:
    """The state and the facts of the row, and no value in the words or in the repr."""
    result = judged(variables, expected)
    assert (result.state, set(result.facts)) == (state, facts)
    for value in (OLD, NEW, READ_ONLY):
        assert value not in f"{result!r} {variables!r} {expected!r}"


def worker_url(password: str, *, scheme: str = "rediss", host: str = HOST) -> dict[str, Variable]:
    name = "REDIS_URL"
    return {name: variable(name, f"{scheme}://default:{password}@{host}:6379")}


URL_ROWS: list[tuple[str, dict[str, Variable], ExpectedValues, LayerState, set[Fact]]] = [
    ("our token as the password", worker_url(NEW), ours(), LayerState.PASSED, set()),
    ("percent signs are undone", worker_url("AX%6eew1111111111111111111"), ours(), LayerState.PASSED, set()),
    ("another password", worker_url(OLD), ours(), LayerState.FAILED, {DIFFERS, REFUSED}),
    ("the console's password", worker_url(PASSWORD), ours(console=CONSOLE), LayerState.PASSED, {THE_CONSOLES}),
    ("not the console's", worker_url(OLD), ours(OLD, console=CONSOLE), LayerState.FAILED, {REFUSED}),
    (
        "neither ours nor the console's",
        worker_url(OLD),
        ours(console=CONSOLE),
        LayerState.FAILED,
        {DIFFERS, REFUSED},
    ),
    ("an old database's password, refused", worker_url(PASSWORD), ours(), LayerState.FAILED, {DIFFERS, REFUSED}),
    (
        "of another host, so the pair is missing",
        worker_url(NEW, host="localhost"),
        ours(),
        LayerState.FAILED,
        {MISSING},
    ),
    (
        "beside a pair that is old",
        {**pair(URL, OLD), **worker_url(NEW)},
        ours(),
        LayerState.FAILED,
        {DIFFERS, REFUSED},
    ),
    ("beside half a pair", {**pair(URL, None), **worker_url(NEW)}, ours(), LayerState.PASSED, set()),
]


@pytest.mark.parametrize(
    ("variables", "expected", "state", "facts"), [row[1:] for row in URL_ROWS], ids=[row[0] for row in URL_ROWS]
)
def test_a_rediss_url_of_the_host_is_compared_by_its_password(
    variables: dict[str, Variable], expected: ExpectedValues, state: LayerState, facts: set[Fact]
) -> None:
    """Many workers have one REDIS_URL and no pair; then the pair is not missed."""
    result = judged(variables, expected)
    assert (result.state, set(result.facts)) == (state, facts)


@pytest.mark.parametrize(
    ("variables", "expected", "words"),
    [
        (
            pair(URL, OLD),
            ours(console=CONSOLE),
            f"{URL_NAME} is the console's, {TOKEN_NAME} is another token that works",
        ),
        (pair(URL, OLD), ours(), f"{URL_NAME} is the same as here, {TOKEN_NAME} is another token that works"),
        (worker_url(OLD), ours(), "REDIS_URL is another password that works"),
        (worker_url(OLD), ours(console=CONSOLE), "REDIS_URL is another password that works"),
    ],
)
def test_a_token_that_the_database_accepts_is_in_order_whatever_others_have(
    variables: dict[str, Variable], expected: ExpectedValues, words: str
) -> None:
    """An ACL user's token differs from ours and from the console's by design."""
    result = judged(variables, expected, ACCEPTED)
    assert (result.state, set(result.facts)) == (LayerState.PASSED, {WORKS})
    assert result.detail == words


def test_our_own_token_is_in_order_where_the_database_accepts_it() -> None:
    """Here and on the worker the same ACL user's token: the console's is another, and nothing is amiss."""
    result = judged(pair(URL, OLD), ours(OLD, console=CONSOLE), ACCEPTED)
    assert (result.state, set(result.facts)) == (LayerState.PASSED, set())
    assert result.detail == f"{URL_NAME} is the console's, {TOKEN_NAME} is the same as here"


@pytest.mark.parametrize("console", [None, CONSOLE])
@pytest.mark.parametrize("variables", [pair(URL, OLD), worker_url(OLD)])
def test_a_token_that_was_not_tried_is_not_called_wrong(
    variables: dict[str, Variable], console: ConsoleDatabase | None
) -> None:
    """It may be an ACL user's. The detail says why nothing is known of it."""
    for result in (judged(variables, ours(console=console), NOT_TRIED), compare(variables, ours(), {})):
        assert (result.state, set(result.facts)) == (LayerState.UNKNOWN, set())
    assert "is different, and whether the database accepts it is not known" in result.detail
    malformed_here = judged(variables, ours(f"{NEW}\n"), NOT_TRIED)
    assert (malformed_here.state, set(malformed_here.facts)) == (LayerState.UNKNOWN, set())
    assert malformed_here.detail.endswith("set, with nothing to compare")


def test_an_old_databases_password_that_was_not_tried_is_let_pass() -> None:
    """By its form it is one, and on an older database it differs from the token."""
    result = judged(worker_url(PASSWORD), ours(), NOT_TRIED)
    assert (result.state, result.facts) == (LayerState.PASSED, frozenset())


def test_a_refusal_that_may_be_a_switched_off_user_is_a_fact_of_its_own() -> None:
    """For a pair; over rediss:// every refusal is worded so."""
    maybe = AttemptState.MAY_BE_DISABLED
    fact = Fact.WORKER_USER_MAY_BE_DISABLED
    assert set(judged(pair(URL, OLD), ours(), maybe).facts) == {DIFFERS, REFUSED, fact}
    assert fact not in judged(worker_url(OLD), ours(), maybe).facts


def test_a_worker_with_another_database_that_works_is_named_as_that() -> None:
    """Its URL leads elsewhere and its token is accepted there: ours would move it to another database."""
    result = judged(pair("https://gone-dog-1.upstash.io", OLD), ours(console=CONSOLE), ACCEPTED)
    assert (result.state, set(result.facts)) == (LayerState.PASSED, {Fact.WORKER_USES_ANOTHER_DATABASE})
    assert result.detail == f"{URL_NAME} and {TOKEN_NAME} are another database's"


def named(
    url: str = "", token: str = "", *, here: tuple[str, str] = ("CACHE_URL", "CACHE_TOKEN")
) -> tuple[str, str]:
    """The names under which the doctor finds a pair whose URL is set as `url` and whose token as `token`."""
    variables = {name: variable(name, value) for name, value in ((url, URL), (token, OLD)) if name}
    expected = ExpectedValues(url=URL, token=Secret(NEW), url_variable=here[0], token_variable=here[1])
    [found] = find_pairs(variables, expected)
    return found.url, found.token


def test_another_port_of_one_host_is_another_database() -> None:
    """A pair by other names than here is this database's by its address; Redis's port there is a mistake."""
    urls = {"SHOP_REST_URL": f"{URL}:8443", "CACHE_REST_URL": URL, "KV_REST_API_URL": f"{URL}:6379"}
    expected = replace(ours(), url_variable="", token_variable="")
    found = find_pairs({name: variable(name, url) for name, url in urls.items()}, expected)
    assert [one.url for one in found] == ["CACHE_REST_URL", "KV_REST_API_URL"]


def test_a_pair_is_found_by_this_databases_own_names_and_else_by_its_host() -> None:
    """Upstash's names are not taken for this database's because they are usual."""
    own, upstash = ("CACHE_URL", "CACHE_TOKEN"), (URL_NAME, TOKEN_NAME)
    assert named(*own) == own
    assert named() == own
    assert named("CACHE_URL") == own
    assert named(*upstash) == upstash
    assert named(*upstash, here=("", "")) == upstash
    assert named("KV_REST_API_URL", here=("", "")) == ("KV_REST_API_URL", "KV_REST_API_TOKEN")
    assert named("SHOP_REST_URL", "CACHE_TOKEN") == ("SHOP_REST_URL", "CACHE_TOKEN")
    # Nothing says which variable the token is in.
    assert named("SHOP_URL", "SHOP_SECRET") == ("SHOP_URL", "")
    assert (
        find_pairs(pair("https://gone-dog-1.upstash.io", OLD), replace(ours(), url_variable="", token_variable=""))
        == ()
    )


def test_a_token_is_found_by_its_value_too() -> None:
    """One variable holds the very token that is known here, or the console's."""
    variables = {"SHOP_URL": variable("SHOP_URL", URL), "SHOP_SECRET": variable("SHOP_SECRET", NEW)}
    nameless = replace(ours(), url_variable="", token_variable="")
    assert find_pairs(variables, nameless) == (VariablePair(url="SHOP_URL", token="SHOP_SECRET"),)
    assert judged(variables, nameless).detail == "SHOP_URL and SHOP_SECRET are the same as here"
    other = replace(nameless, token=Secret(OLD), console=CONSOLE)
    assert find_pairs(variables, other) == (VariablePair(url="SHOP_URL", token="SHOP_SECRET"),)


def test_own_names_that_lead_elsewhere_give_way_to_a_variable_that_leads_here() -> None:
    """A monitor and a worker may use one name for two databases."""
    variables = {
        **pair("https://gone-dog-1.upstash.io", OLD),
        "CACHE_REST_URL": variable("CACHE_REST_URL", URL),
        "CACHE_REST_TOKEN": variable("CACHE_REST_TOKEN", NEW),
    }
    result = judged(variables, ours())
    assert result.detail == "CACHE_REST_URL and CACHE_REST_TOKEN are the same as here"


def test_where_no_name_is_known_nothing_is_called_missing() -> None:
    """The values are written in the file here, and no variable of the worker holds the URL."""
    result = judged({"PORT": variable("PORT", "8080")}, replace(ours(), url_variable="", token_variable=""))
    assert (result.state, result.facts) == (LayerState.UNKNOWN, frozenset())


def test_a_worker_of_another_watched_database_is_not_at_fault() -> None:
    """Two databases are watched and the worker uses one: the doctor of the other has nothing to say about it."""
    other = "gone-dog-1.upstash.io"
    result = judged(pair(f"https://{other}", OLD), ours(), other_hosts=frozenset({other}))
    assert (result.state, result.facts) == (LayerState.NOT_APPLICABLE, frozenset())
    both = {**pair(f"https://{other}", OLD), **worker_url(NEW)}
    assert judged(both, ours(), other_hosts=frozenset({other})).state is not LayerState.NOT_APPLICABLE


def test_the_detail_names_the_variable_and_what_is_wrong() -> None:
    """Whoever reads the layer knows which variable is wrong, and why."""
    assert judged(pair(URL, f"{NEW}\n"), ours()).detail == (
        "UPSTASH_REDIS_REST_TOKEN is malformed (ends with a newline)"
    )
    assert judged(pair(URL, OLD), ours(OLD, console=CONSOLE)).detail == (
        "UPSTASH_REDIS_REST_TOKEN is refused by the database and different from the console's"
    )
    assert judged(pair(URL, NEW), ours(console=CONSOLE)).detail == (
        "UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN are the console's"
    )
