"""A worker's variables against ours and the console's: each row is what is set, and what is wrong with it."""

from __future__ import annotations

import pytest

from monitor.checks.observation import Fact
from monitor.diagnosis.layers import LayerState
from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.worker_variables import TOKEN_NAME, URL_NAME, ExpectedValues, Variable, compare
from monitor.lib.secret import Secret

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
    return ExpectedValues(url=url, token=Secret(token), console=console)


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
    ("another token than ours", pair(URL, OLD), ours(), LayerState.FAILED, {DIFFERS}),
    ("another host than ours", pair("https://gone-dog-1.upstash.io", NEW), ours(), LayerState.FAILED, {DIFFERS}),
    ("ours and the worker's are both old", pair(URL, OLD), ours(OLD, console=CONSOLE), LayerState.FAILED, set()),
    ("only ours is old", pair(URL, NEW), ours(OLD, console=CONSOLE), LayerState.PASSED, {THE_CONSOLES}),
    ("only the worker's is old", pair(URL, OLD), ours(console=CONSOLE), LayerState.FAILED, {DIFFERS}),
    ("a newline in the worker's token", pair(URL, f"{NEW}\n"), ours(), LayerState.FAILED, {DIFFERS}),
    ("quotes around the worker's URL", pair(f'"{URL}"', NEW), ours(), LayerState.FAILED, {DIFFERS}),
    ("ours is malformed: nothing to compare with", pair(URL, OLD), ours(f"{OLD}\n"), LayerState.UNKNOWN, set()),
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
        {STAGED, DIFFERS},
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
    result = compare(variables, expected)
    assert (result.state, set(result.facts)) == (state, facts)
    for value in (OLD, NEW, READ_ONLY):
        assert value not in f"{result!r} {variables!r} {expected!r}"


def worker_url(password: str, *, scheme: str = "rediss", host: str = HOST) -> dict[str, Variable]:
    name = "REDIS_URL"
    return {name: variable(name, f"{scheme}://default:{password}@{host}:6379")}


URL_ROWS: list[tuple[str, dict[str, Variable], ExpectedValues, LayerState, set[Fact]]] = [
    ("our token as the password", worker_url(NEW), ours(), LayerState.PASSED, set()),
    ("percent signs are undone", worker_url("AX%6eew1111111111111111111"), ours(), LayerState.PASSED, set()),
    ("another password", worker_url(OLD), ours(), LayerState.FAILED, {DIFFERS}),
    ("the console's password", worker_url(PASSWORD), ours(console=CONSOLE), LayerState.PASSED, {THE_CONSOLES}),
    ("not the console's", worker_url(OLD), ours(OLD, console=CONSOLE), LayerState.FAILED, set()),
    ("neither ours nor the console's", worker_url(OLD), ours(console=CONSOLE), LayerState.FAILED, {DIFFERS}),
    ("an old database's password, unproven", worker_url(PASSWORD), ours(), LayerState.PASSED, set()),
    (
        "of another host, so the pair is missing",
        worker_url(NEW, host="localhost"),
        ours(),
        LayerState.FAILED,
        {MISSING},
    ),
    ("beside a pair that is old", {**pair(URL, OLD), **worker_url(NEW)}, ours(), LayerState.FAILED, {DIFFERS}),
    ("beside half a pair", {**pair(URL, None), **worker_url(NEW)}, ours(), LayerState.PASSED, set()),
]


@pytest.mark.parametrize(
    ("variables", "expected", "state", "facts"), [row[1:] for row in URL_ROWS], ids=[row[0] for row in URL_ROWS]
)
def test_a_rediss_url_of_the_host_is_compared_by_its_password(
    variables: dict[str, Variable], expected: ExpectedValues, state: LayerState, facts: set[Fact]
) -> None:
    """Many workers have one REDIS_URL and no pair; then the pair is not missed."""
    result = compare(variables, expected)
    assert (result.state, set(result.facts)) == (state, facts)


def test_a_worker_of_another_watched_database_is_not_at_fault() -> None:
    """Two databases are watched and the worker uses one: the doctor of the other has nothing to say about it."""
    other = "gone-dog-1.upstash.io"
    result = compare(pair(f"https://{other}", OLD), ours(), other_hosts={other})
    assert (result.state, result.facts) == (LayerState.NOT_APPLICABLE, frozenset())
    both = {**pair(f"https://{other}", OLD), **worker_url(NEW)}
    assert compare(both, ours(), other_hosts={other}).state is not LayerState.NOT_APPLICABLE


def test_the_detail_names_the_variable_and_what_is_wrong() -> None:
    """Whoever reads the layer knows which variable is wrong, and why."""
    assert compare(pair(URL, f"{NEW}\n"), ours()).detail == (
        "UPSTASH_REDIS_REST_TOKEN is malformed (the token ends with a newline)"
    )
    assert compare(pair(URL, OLD), ours(OLD, console=CONSOLE)).detail == (
        "UPSTASH_REDIS_REST_TOKEN is different from the console's"
    )
    assert compare(pair(URL, NEW), ours(console=CONSOLE)).detail == (
        "UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN are the console's"
    )
