"""The plan of a fix: it writes what is missing or was refused when it was tried, and leaves alone what works."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.fix_plan import (
    FixPlan,
    LeaveReason,
    WriteReason,
    credentials_for_plan,
    new_credentials,
    plan_fix,
)
from monitor.doctor.tried_values import Attempt, AttemptState
from monitor.doctor.worker_variables import ExpectedValues, Variable
from monitor.lib.text import Secret

URL_NAME, TOKEN_NAME = "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"
HOST, OTHER_HOST = "merry-cat-12345.upstash.io", "gone-dog-1.upstash.io"
URL = f"https://{HOST}"
OLD, NEW, READ_ONLY = "AXold0000000000000000000", "AXnew1111111111111111111", "AgRO2222222222222222222"
ACL, PASSWORD = "AXacl3333333333333333333", "0123456789abcdef0123456789abcdef"
CONSOLE = ConsoleDatabase(
    url=URL, rest_token=Secret(NEW), read_only_rest_token=Secret(READ_ONLY), password=Secret(PASSWORD)
)
EXPECTED = ExpectedValues(
    url=URL, token=Secret(OLD), url_variable=URL_NAME, token_variable=TOKEN_NAME, console=CONSOLE
)
ACCEPTED, REFUSED = AttemptState.ACCEPTED, AttemptState.REFUSED
MAY_BE_DISABLED, NOT_TRIED = AttemptState.MAY_BE_DISABLED, AttemptState.NOT_TRIED
ANSWERS = {NEW: ACCEPTED, READ_ONLY: ACCEPTED, ACL: ACCEPTED}  # every other token is refused


def variable(name: str, stored: str, **changes: object) -> Variable:
    deployed = Variable(name=name, stored=Secret(stored), running=Secret(stored), is_running_known=True)
    return replace(deployed, **changes)  # type: ignore[arg-type]  # a test's shorthand


def token(stored: str, **changes: object) -> Variable:
    return variable(TOKEN_NAME, stored, **changes)


def planned(
    *variables: Variable,
    answers: Mapping[str, AttemptState] | None = None,
    expected: ExpectedValues = EXPECTED,
    other_hosts: tuple[str, ...] = (),
    other_names: tuple[str, ...] = (),
) -> FixPlan:
    """The plan, where the database answers to each token as `ANSWERS` and `answers` have it."""
    by_name = {one.name: one for one in variables}
    known = {**ANSWERS, **(answers or {})}
    attempts = {
        one: Attempt(state=known.get(one.token.reveal() if one.token else "", REFUSED), detail="as it said")
        for one in credentials_for_plan(by_name, expected, CONSOLE)
    }
    plan = plan_fix(
        by_name,
        expected,
        CONSOLE,
        attempts,
        service="worker",
        other_hosts=other_hosts,
        other_names=other_names,
    )
    for value in (OLD, NEW, READ_ONLY, ACL, PASSWORD):
        assert value not in f"{plan!r} {plan.lines()}"
    return plan


def left(plan: FixPlan) -> dict[str, LeaveReason]:
    return {one.name: one.reason for one in plan.left}


RIGHT_URL = variable(URL_NAME, URL)
RIGHT_TOKEN = token(NEW)
WRITES: list[tuple[str, tuple[Variable, ...], dict[str, WriteReason]]] = [
    ("an old token", (RIGHT_URL, token(OLD)), {TOKEN_NAME: WriteReason.REFUSED}),
    ("nothing is set", (), {URL_NAME: WriteReason.MISSING, TOKEN_NAME: WriteReason.MISSING}),
    ("whitespace", (RIGHT_URL, token(" ")), {TOKEN_NAME: WriteReason.MISSING}),
    ("no URL", (token(OLD),), {URL_NAME: WriteReason.MISSING, TOKEN_NAME: WriteReason.REFUSED}),
    ("no URL, and a token that works", (token(ACL),), {URL_NAME: WriteReason.MISSING}),
    ("no token", (RIGHT_URL,), {TOKEN_NAME: WriteReason.MISSING}),
    ("a reference", (RIGHT_URL, token(OLD, is_reference=True)), {TOKEN_NAME: WriteReason.REFERENCE}),
    ("the right one is staged", (RIGHT_URL, token(OLD, staged=Secret(NEW))), {TOKEN_NAME: WriteReason.REFUSED}),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "writes"), [row[1:] for row in WRITES], ids=[row[0] for row in WRITES])
def test_what_is_missing_or_was_refused_is_written(
    variables: tuple[Variable, ...], writes: dict[str, WriteReason]
) -> None:
    """With the console's values, and then deployed."""
    plan = planned(*variables)
    assert {write.name: write.reason for write in plan.writes} == writes
    assert {write.value.reveal() for write in plan.writes} <= {URL, NEW}
    assert plan.redeploys


LEFT: list[tuple[str, tuple[Variable, ...], LeaveReason]] = [
    ("the console's", (RIGHT_URL, RIGHT_TOKEN), LeaveReason.RIGHT),
    ("a reference that is right", (RIGHT_URL, token(NEW, is_reference=True)), LeaveReason.RIGHT),
    ("a read-only token was chosen by a person", (RIGHT_URL, token(READ_ONLY)), LeaveReason.RIGHT),
    ("an ACL user's token", (RIGHT_URL, token(ACL)), LeaveReason.ACCEPTED),
    ("a reference to an ACL user's token", (RIGHT_URL, token(ACL, is_reference=True)), LeaveReason.ACCEPTED),
    ("an ACL user's token runs", (RIGHT_URL, token(OLD, running=Secret(ACL))), LeaveReason.IN_USE),
    ("an ACL user's token is staged", (RIGHT_URL, token(OLD, staged=Secret(ACL))), LeaveReason.IN_USE),
    ("it was taken away, and what runs works", (RIGHT_URL, token(" ", running=Secret(ACL))), LeaveReason.IN_USE),
    (
        "what runs is not known",
        (RIGHT_URL, token(OLD, running=None, is_running_known=False)),
        LeaveReason.RUNNING_UNKNOWN,
    ),
    (
        "it is missing, and what runs is not known",
        (RIGHT_URL, Variable(name=TOKEN_NAME)),
        LeaveReason.RUNNING_UNKNOWN,
    ),
    (
        "both are missing, and what runs is not known",
        (Variable(name=URL_NAME), Variable(name=TOKEN_NAME)),
        LeaveReason.RUNNING_UNKNOWN,
    ),
    ("sealed", (RIGHT_URL, Variable(name=TOKEN_NAME, is_sealed=True)), LeaveReason.SEALED),
    ("behind a sealed URL", (Variable(name=URL_NAME, is_sealed=True), token(OLD)), LeaveReason.NOT_TRIED),
    ("no token behind a sealed URL", (Variable(name=URL_NAME, is_sealed=True),), LeaveReason.NOT_TRIED),
    ("of another host", (variable(URL_NAME, f"https://{OTHER_HOST}"), token(OLD)), LeaveReason.ELSEWHERE),
    ("missing, of another host", (variable(URL_NAME, f"https://{OTHER_HOST}"),), LeaveReason.ELSEWHERE),
    ("the password of an older database", (RIGHT_URL, token(PASSWORD)), LeaveReason.PASSWORD),
    ("no URL, and a token that nobody here knows", (token("AXofElsewhere-444444444"),), LeaveReason.NO_URL),
]


@pytest.mark.parametrize(("variables", "reason"), [row[1:] for row in LEFT], ids=[row[0] for row in LEFT])
def test_a_token_that_works_or_was_not_tried_is_left_alone(
    variables: tuple[Variable, ...], reason: LeaveReason
) -> None:
    """The console's token has full rights: over an ACL user's it would give the worker more than was meant."""
    plan = planned(*variables)
    assert (plan.writes, plan.redeploys) == ((), False)
    assert left(plan)[TOKEN_NAME] is reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ACCEPTED, LeaveReason.ACCEPTED),
        (MAY_BE_DISABLED, LeaveReason.MAY_BE_DISABLED),
        (NOT_TRIED, LeaveReason.NOT_TRIED),
        (AttemptState.ACCEPTED_UNWRAPPED, LeaveReason.MALFORMED),
        (AttemptState.REFUSED_BY_REST, LeaveReason.REFUSED_BY_REST),
    ],
)
def test_the_answer_of_the_database_decides(answer: AttemptState, reason: LeaveReason) -> None:
    """Whatever the console says: only a plain refusal lets a token be replaced, and the line has the answer."""
    plan = planned(RIGHT_URL, token(OLD), answers={OLD: answer})
    assert (plan.writes, plan.redeploys, left(plan)[TOKEN_NAME]) == ((), False, reason)
    assert "(as it said)" in plan.lines()[1]


@pytest.mark.parametrize("around", ['"{}"', "'{}'", "Bearer {}", "UPSTASH_REDIS_REST_TOKEN={}"])
def test_only_the_consoles_own_token_is_freed_of_what_stands_around_it(around: str) -> None:
    """In place of an ACL user's the console's would give full rights, where only the quotes were wrong."""
    for one, reason in ((NEW, WriteReason.REFUSED), (ACL, None), (READ_ONLY, None)):
        text = around.format(one)
        plan = planned(RIGHT_URL, token(text), answers={text: AttemptState.ACCEPTED_UNWRAPPED})
        assert [write.reason for write in plan.writes] == ([reason] if reason else [])


def test_a_user_that_may_be_switched_off_is_named() -> None:
    """The console's token would work, and would have all rights in place of that user's."""
    plan = planned(RIGHT_URL, token(OLD), answers={OLD: MAY_BE_DISABLED})
    assert (
        "may be an ACL user's token that was switched off; the console's token has full rights" in plan.lines()[1]
    )


@pytest.mark.parametrize("answer", [REFUSED, MAY_BE_DISABLED, NOT_TRIED])
def test_nothing_is_written_while_the_database_does_not_take_the_new_token(answer: AttemptState) -> None:
    """The console may be ahead of the database, or of another account."""
    for variables in ((RIGHT_URL, token(OLD)), ()):
        plan = planned(*variables, answers={NEW: answer})
        assert (plan.writes, plan.redeploys) == ((), False)
        assert plan.lines()[-1].endswith("so nothing is written")


def test_a_new_token_that_only_rediss_takes_is_not_written() -> None:
    """The console and REST were rotated meanwhile, and `rediss://` still takes the one before."""
    by_name = {one.name: one for one in (RIGHT_URL, token(OLD))}
    attempts = {
        one: Attempt(state=ACCEPTED, rest_detail="401") if one.token == Secret(NEW) else Attempt(state=REFUSED)
        for one in credentials_for_plan(by_name, EXPECTED, CONSOLE)
    }
    plan = plan_fix(by_name, EXPECTED, CONSOLE, attempts, service="worker")
    assert (plan.writes, plan.redeploys) == ((), False)
    assert "did not accept the console's token (over REST: 401), so nothing is written" in plan.lines()[-1]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f'"{URL}"', LeaveReason.MALFORMED),
        ("undefined", LeaveReason.MALFORMED),
        (f"{URL}:444", LeaveReason.URL_WORKS),
        (f"https://{OTHER_HOST}", LeaveReason.ELSEWHERE),
        (f"{URL}/", LeaveReason.RIGHT),
    ],
)
def test_a_url_that_is_there_is_never_written(url: str, reason: LeaveReason) -> None:
    """No database can refuse a URL, so what is meant by it only a person knows."""
    plan = planned(variable(URL_NAME, url), RIGHT_TOKEN)
    assert (plan.writes, left(plan)[URL_NAME]) == ((), reason)


def test_what_is_right_and_not_deployed_is_deployed_unless_something_else_works() -> None:
    """A person has set the token and not deployed; what runs in its place was refused, and is known."""
    assert planned(RIGHT_URL, token(NEW, running=Secret(OLD))).redeploys
    assert planned(RIGHT_URL, token(NEW, running=None)).redeploys
    assert not planned(RIGHT_URL, token(NEW, running=None, is_running_known=False)).redeploys
    assert not planned(RIGHT_URL, token(NEW, running=Secret(ACL))).redeploys
    assert not planned(RIGHT_URL, token(NEW, running=Secret(OLD)), answers={OLD: NOT_TRIED}).redeploys
    assert not planned(RIGHT_URL, token(NEW, running=Secret(OLD)), answers={NEW: REFUSED}).redeploys


def test_what_may_be_an_older_databases_password_is_left_alone() -> None:
    """The console does not show the password, REST refuses it, and its port for rediss:// was not tried."""
    old = "fedcba9876543210fedcba9876543210"
    variables = {one.name: one for one in (RIGHT_URL, token(old))}
    for console, reason in ((replace(CONSOLE, password=Secret("")), LeaveReason.NOT_TRIED), (CONSOLE, None)):
        expected = replace(EXPECTED, console=console)
        attempts = {
            one: Attempt(state=ANSWERS.get(one.token.reveal() if one.token else "", REFUSED))
            for one in credentials_for_plan(variables, expected, console)
        }
        plan = plan_fix(variables, expected, console, attempts, service="worker")
        assert (left(plan).get(TOKEN_NAME), bool(plan.writes)) == (reason, reason is None)


@pytest.mark.parametrize(
    ("password", "answer", "reason"),
    [
        (NEW, REFUSED, LeaveReason.RIGHT),
        (PASSWORD, REFUSED, LeaveReason.RIGHT),
        (OLD, ACCEPTED, LeaveReason.ACCEPTED),
        (OLD, REFUSED, LeaveReason.REDIS_URL),
        (OLD, NOT_TRIED, LeaveReason.NOT_TRIED),
    ],
)
def test_a_rediss_url_is_never_rewritten(password: str, answer: AttemptState, reason: LeaveReason) -> None:
    """Only a person knows how it is made; the plan says so, and a worker without the pair gets none."""
    plan = planned(variable("REDIS_URL", f"rediss://default:{password}@{HOST}:6379"), answers={"": answer})
    assert (plan.writes, plan.redeploys, left(plan)) == ((), False, {"REDIS_URL": reason})


def test_nothing_is_deployed_over_a_rediss_url_that_runs_and_works() -> None:
    """Another one is stored and not deployed; a deployment of the pair's new token would bring it."""
    runs, stored = (Secret(f"rediss://default:{one}@{HOST}:6379") for one in (NEW, OLD))
    given = {
        one.name: one for one in (RIGHT_URL, token(OLD), variable("REDIS_URL", stored.reveal(), running=runs))
    }
    tried = credentials_for_plan(given, EXPECTED, CONSOLE)
    attempts = {
        one: Attempt(state=ACCEPTED if NEW in (one.token or one.url).reveal() else REFUSED) for one in tried
    }
    plan = plan_fix(given, EXPECTED, CONSOLE, attempts, service="worker")
    assert (plan.writes, plan.redeploys, left(plan)["REDIS_URL"]) == ((), False, LeaveReason.IN_USE)


def test_a_rediss_url_that_follows_the_pair_by_reference_is_not_mentioned() -> None:
    """Put together from the pair, it changes with it."""
    url = variable("REDIS_URL", f"rediss://default:{OLD}@{HOST}:6379", is_reference=True)
    plan = planned(RIGHT_URL, token(OLD), url)
    assert (set(left(plan)), [write.name for write in plan.writes]) == ({URL_NAME}, [TOKEN_NAME])


def test_a_worker_of_another_watched_database_is_left_alone() -> None:
    """Its variables are right for that one; to write ours over them would break it."""
    plan = planned(variable(URL_NAME, f"https://{OTHER_HOST}"), token(OLD), other_hosts=(OTHER_HOST,))
    assert (plan.writes, plan.redeploys) == ((), False)
    assert plan.lines() == ("service worker uses another of the databases that are watched; nothing is changed",)


@pytest.mark.parametrize(
    "given",
    [
        (RIGHT_URL, token(OLD, read_by_others=(TOKEN_NAME,))),
        (RIGHT_URL, token(" ", read_by_others=("SHOP_REST_TOKEN",))),
    ],
)
def test_a_token_that_another_database_is_read_with_is_not_written(given: tuple[Variable, ...]) -> None:
    """This database refuses it; the other one may accept it, and was not asked."""
    plan = planned(*given)
    assert (plan.writes, plan.redeploys, left(plan)[TOKEN_NAME]) == ((), False, LeaveReason.SHARED)


def test_one_token_beside_two_urls_is_written_once() -> None:
    """Both lead here, and nothing but the token itself tells which variable it is in."""
    expected = replace(EXPECTED, url_variable="", token_variable="")
    plan = planned(variable("ONE", URL), variable("TWO", URL), variable("SECRET", OLD), expected=expected)
    assert [write.name for write in plan.writes] == ["SECRET"]


def test_a_token_that_one_of_its_urls_keeps_is_not_written_for_the_others_sake() -> None:
    """The second URL is staged to lead here, and what runs leads to another database."""
    expected = replace(EXPECTED, url_variable="", token_variable="")
    second = variable("TWO", f"https://{OTHER_HOST}", staged=Secret(URL))
    plan = planned(variable("ONE", URL), second, variable("SECRET", OLD), expected=expected)
    assert (plan.writes, plan.redeploys, left(plan)["SECRET"]) == ((), False, LeaveReason.ELSEWHERE)


def test_a_stale_read_only_token_is_not_replaced_by_full_rights() -> None:
    """Whoever chose it did not want the worker to write."""
    raw = bytes([2, 48, 57, 1, 4, 12]) + b"abcdefghijklmnop"
    read_only = base64.b64encode(raw).decode()
    plan = planned(RIGHT_URL, token(read_only))
    assert (plan.writes, plan.redeploys, left(plan)[TOKEN_NAME]) == ((), False, LeaveReason.READ_ONLY)


def test_this_databases_own_names_are_written() -> None:
    """It is read from CACHE_URL and CACHE_REST_TOKEN; Upstash's names stand for another database."""
    expected = replace(EXPECTED, url_variable="CACHE_URL", token_variable="CACHE_REST_TOKEN")
    others = (variable(URL_NAME, f"https://{OTHER_HOST}"), token(OLD))
    plan = planned(variable("CACHE_URL", URL), variable("CACHE_REST_TOKEN", OLD), *others, expected=expected)
    assert [write.name for write in plan.writes] == ["CACHE_REST_TOKEN"]
    plan = planned(*others, expected=expected)
    assert [write.name for write in plan.writes] == ["CACHE_URL", "CACHE_REST_TOKEN"]


def test_a_service_with_other_names_gets_no_pair_beside_them() -> None:
    """It may read another database through them: the console's token, which has full rights, is not strewn."""
    plan = planned(other_names=("SHOP_REDIS_URL", "SHOP_REDIS_TOKEN"))
    assert (plan.writes, plan.redeploys) == ((), False)
    assert left(plan) == dict.fromkeys((URL_NAME, TOKEN_NAME), LeaveReason.OTHER_NAMES)
    assert "SHOP_REDIS_URL, SHOP_REDIS_TOKEN" in plan.lines()[0]
    # One of the two names shows that the service reads them.
    plan = planned(RIGHT_URL, other_names=("SHOP_REDIS_URL",))
    assert [write.name for write in plan.writes] == [TOKEN_NAME]


def test_nothing_is_deployed_over_a_value_that_works() -> None:
    """The service reads the database through two pairs: one is to be written, and in the other what runs works."""
    nameless = replace(EXPECTED, url_variable="", token_variable="")
    vercel = (variable("KV_REST_API_URL", URL), variable("KV_REST_API_TOKEN", OLD, running=Secret(ACL)))
    plan = planned(RIGHT_URL, token("AXelse444444444444444444"), *vercel, expected=nameless)
    assert (plan.writes, plan.redeploys) == ((), False)
    assert plan.lines()[-1] == "a deployment would also replace a value that works, so nothing is written"


def test_without_a_name_nothing_is_written() -> None:
    """The values are written in the file here: the worker's are found by the host, or by nobody."""
    nameless = replace(EXPECTED, url_variable="", token_variable="")
    shop = (variable("SHOP_URL", URL), variable("SHOP_SECRET", "AXelse444444444444444444"))
    plan = planned(*shop, expected=nameless)
    assert (plan.writes, left(plan)["the token"]) == ((), LeaveReason.NO_NAME)
    plan = planned(variable("PORT", "8080"), expected=nameless)
    assert plan.writes == ()
    assert "set them by hand" in plan.lines()[0]
    plan = planned(
        shop[0], variable("SHOP_SECRET", OLD), expected=nameless
    )  # by the very token that is refused here
    assert [write.name for write in plan.writes] == ["SHOP_SECRET"]
    plan = planned(RIGHT_URL, token(OLD), expected=nameless)
    assert [write.name for write in plan.writes] == [TOKEN_NAME]


def test_a_plan_reads_as_what_will_be_done() -> None:
    """The command shows these lines and asks. Old and new value are told apart by their fingerprints."""
    assert planned(RIGHT_URL, token(OLD)).lines() == (
        "write UPSTASH_REDIS_REST_TOKEN of service worker: the database refuses its value "
        f"(sha256 {Secret(OLD).fingerprint()} becomes {Secret(NEW).fingerprint()})",
        "leave UPSTASH_REDIS_REST_URL of service worker: it is the console's already",
        "mind that the console's token has full rights, which an ACL user's may not have had",
        "redeploy service worker",
    )
    assert "(sha256 nothing becomes " in planned(RIGHT_URL).lines()[0]


# What makes a plan write something comes often, so that many of them do.
TEXTS = st.sampled_from([OLD, OLD, ACL, ACL, NEW, READ_ONLY, PASSWORD, f"{NEW}\n", f'"{ACL}"', " ", "undefined"])
ODD_URLS = [
    f"{URL}/",
    f"https://{OTHER_HOST}",
    f'"{URL}"',
    "undefined",
    " ",
    f"rediss://default:{OLD}@{HOST}:6379",
]
URLS = st.sampled_from([*[URL] * 12, *ODD_URLS])
STATES = st.sampled_from([*[REFUSED] * 5, *(one for one in AttemptState if one is not REFUSED)])
NEW_STATES = st.sampled_from([*[ACCEPTED] * 6, REFUSED, MAY_BE_DISABLED, NOT_TRIED])
NAMES = st.sampled_from(["", URL_NAME, "CACHE_REST_URL", "SHOP_URL"])


@st.composite
def services(draw: st.DrawFn, name: str, texts: st.SearchStrategy[str]) -> Variable:
    """A variable with anything in its three places."""
    places: list[str | None] = [draw(texts), draw(st.none() | texts), draw(st.none() | texts)]
    places[0] = places[0] if draw(st.integers(0, 4)) else None
    stored, staged, running = (None if text is None else Secret(text) for text in places)
    if draw(st.booleans()) and stored is None:
        return Variable(name=name, is_sealed=True)
    return Variable(
        name=name,
        stored=stored,
        staged=staged,
        running=running,
        is_running_known=running is not None,
        is_reference=draw(st.booleans()),
    )


@settings(max_examples=400)
@given(data=st.data())
def test_no_plan_writes_over_what_was_accepted_or_not_tried(data: st.DataObject) -> None:
    """For any variables, any names, any answers of the database and any values of the console."""
    pairs = [(URL_NAME, TOKEN_NAME), ("CACHE_REST_URL", "CACHE_REST_TOKEN"), ("SHOP_URL", "SHOP_SECRET")]
    variables = {}
    for url, secret in pairs:
        if data.draw(st.integers(0, 2)):
            variables[url] = data.draw(services(url, URLS))
        if data.draw(st.integers(0, 2)):
            variables[secret] = data.draw(services(secret, TEXTS))
    own = dict([*pairs, ("", "")])
    name = data.draw(NAMES)
    console = replace(CONSOLE, rest_token=Secret(data.draw(st.sampled_from([NEW, OLD, ACL]))))
    expected = ExpectedValues(
        url=data.draw(st.sampled_from([URL, f"{URL}\n"])),
        token=Secret(data.draw(TEXTS)),
        url_variable=name,
        token_variable=own[name],
        console=console,
    )
    tried = credentials_for_plan(variables, expected, console)
    new = new_credentials(console)
    answers = {one: data.draw(NEW_STATES if one == new else STATES) for one in tried}
    attempts = {one: Attempt(state=state) for one, state in answers.items() if data.draw(st.integers(0, 9))}
    plan = plan_fix(variables, expected, console, attempts, service="worker")
    states = {one: attempts.get(one, Attempt(state=NOT_TRIED)).state for one in tried}
    if plan.writes:
        assert states[new] is ACCEPTED
    for write in plan.writes:
        had = variables.get(write.name, Variable(name=write.name))
        assert not (had.is_sealed and had.stored is None)
        for value in (had.stored, had.staged, had.running):
            if value is None or not value.reveal().strip() or value == write.value:
                continue
            if write.value.reveal() == URL:
                assert value.reveal().rstrip("/") == URL  # no other URL is replaced
                continue
            found = {state for one, state in states.items() if one.token == value}
            assert found == {REFUSED}
