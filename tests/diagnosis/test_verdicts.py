"""Every row of the verdict tables, reached by a ladder that is written out; real servers come in tests/doctor."""

from __future__ import annotations

import pytest

from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import advise
from monitor.diagnosis.layers import REST_WAY, Fact, Ladder, Rung, Seen, State, hindrance
from monitor.diagnosis.verdicts import TABLE, Code, judge

GOOD = dict.fromkeys((Rung.OUR_NETWORK, *REST_WAY, Rung.WORKER, Rung.STATUS_PAGE), State.PASSED)


def ladder(
    stopped: Rung | None = None,
    outcome: Outcome | None = None,
    *,
    facts: tuple[Fact, ...] = (),
    worker: State = State.PASSED,
    our_network: State = State.PASSED,
    billed: State = State.PASSED,
    elsewhere: State = State.PASSED,
) -> Ladder:
    """A ladder that is fine up to `stopped`, which failed with `outcome`; what needs it is skipped.

    `elsewhere` is how reading the status page and the console ended.
    """
    rungs: list[Seen] = []
    states = {Rung.WORKER: worker, Rung.OUR_NETWORK: our_network, Rung.READING: billed, Rung.WRITING: billed}
    states[Rung.STATUS_PAGE] = elsewhere
    for rung, state in {**GOOD, **states}.items():
        if rung is stopped:
            rungs.append(Seen(rung=rung, state=State.FAILED, outcome=outcome))
        elif rung is not Rung.WORKER and hindrance(rung, rungs) is not None:
            rungs.append(Seen(rung=rung, state=State.SKIPPED))
        else:
            rungs.append(Seen(rung=rung, state=state))
    rungs.append(Seen(rung=Rung.CONSOLE, state=elsewhere, facts=frozenset(facts)))
    return Ladder(database="main", rungs=tuple(rungs))


BAD, DARK = State.FAILED, State.UNKNOWN
SICK = (Rung.HTTP, Outcome.SERVER_ERROR)
REJECTED = (Rung.TOKEN, Outcome.TOKEN_REJECTED)
TIMED_OUT = (Rung.CONNECTION, Outcome.CONNECTION_TIMEOUT)
ROWS: list[tuple[Ladder, Code]] = [
    (ladder(Rung.LOOKUP, Outcome.DNS_FAILED, our_network=BAD, worker=BAD, elsewhere=DARK), Code.OFFLINE),
    (ladder(*TIMED_OUT, our_network=BAD, worker=BAD, elsewhere=DARK), Code.OFFLINE),
    # Somebody answered, so our network is there: what fails is the way to the host, or the host.
    (ladder(*TIMED_OUT, our_network=BAD, worker=BAD), Code.BLOCKED_OR_DOWN),
    (ladder(*TIMED_OUT, our_network=BAD, elsewhere=DARK), Code.AS_THE_OUTCOME_SAYS),
    (ladder(*SICK, our_network=BAD, worker=BAD, elsewhere=DARK), Code.AS_THE_OUTCOME_SAYS),
    (
        ladder(Rung.CONFIGURATION, Outcome.TOKEN_MISSING, facts=(Fact.WORKER_VARIABLE_STAGED,)),
        Code.VARIABLE_STAGED,
    ),
    (ladder(Rung.CONFIGURATION, Outcome.URL_MISSING, worker=BAD), Code.VARIABLE_MISSING),
    (ladder(Rung.CONFIGURATION, Outcome.TOKEN_MALFORMED), Code.REST_VALUE_MANGLED),
    (ladder(Rung.CONFIGURATION, Outcome.TOKEN_MALFORMED, worker=BAD), Code.VALUE_MALFORMED),
    (ladder(Rung.CONFIGURATION, Outcome.URL_MALFORMED, worker=BAD), Code.VALUE_MALFORMED),
    (
        ladder(*REJECTED, facts=(Fact.WORKER_VARIABLE_IS_THE_CONSOLES, Fact.WORKER_VARIABLE_STAGED), worker=BAD),
        Code.NEW_TOKEN_NOT_DEPLOYED,
    ),
    (
        ladder(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_VARIABLE_IS_THE_CONSOLES), worker=BAD),
        Code.MONITOR_HAS_AN_OLD_TOKEN,
    ),
    (ladder(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS,), worker=BAD), Code.WORKER_HAS_AN_OLD_TOKEN),
    (ladder(*REJECTED, facts=(Fact.CONSOLE_TOKEN_IS_OURS,), worker=BAD), Code.CONSOLE_TOKEN_REFUSED),
    (ladder(*REJECTED, facts=(Fact.TOKEN_OF_ANOTHER_DATABASE,), worker=BAD), Code.TOKEN_OF_ANOTHER_DATABASE),
    (ladder(*REJECTED, facts=(Fact.TOKEN_IS_A_PASSWORD,)), Code.TOKEN_IS_A_PASSWORD),
    (ladder(*REJECTED), Code.REST_TOKEN_WRONG),
    (ladder(*REJECTED, worker=BAD), Code.TOKEN_STALE),
    (
        ladder(Rung.LOOKUP, Outcome.DNS_NOT_FOUND, facts=(Fact.CONSOLE_HAS_NO_SUCH_DATABASE,), worker=BAD),
        Code.DATABASE_GONE,
    ),
    (ladder(Rung.LOOKUP, Outcome.DNS_NOT_FOUND, worker=BAD), Code.AS_THE_OUTCOME_SAYS),
    (ladder(Rung.TOKEN, Outcome.SUSPENDED), Code.SUSPENDED),
    (ladder(Rung.WRITING, Outcome.QUOTA_EXCEEDED), Code.QUOTA_BEHIND_PING),
    (ladder(facts=(Fact.CONSOLE_COMMANDS_USED_UP,), billed=State.NOT_APPLICABLE), Code.QUOTA_BEHIND_PING),
    (ladder(facts=(Fact.CONSOLE_COMMANDS_USED_UP,)), Code.ALL_GOOD),
    (ladder(Rung.TOKEN, Outcome.QUOTA_EXCEEDED), Code.AS_THE_OUTCOME_SAYS),
    (ladder(Rung.WRITING, Outcome.CAPACITY_FULL), Code.DATABASE_FULL),
    (ladder(facts=(Fact.CONSOLE_STORAGE_FULL,), billed=State.NOT_APPLICABLE), Code.DATABASE_FULL),
    (ladder(facts=(Fact.CONSOLE_STORAGE_FULL,)), Code.ALL_GOOD),
    (ladder(Rung.WRITING, Outcome.PERMISSION_DENIED), Code.TOKEN_READ_ONLY),
    (
        ladder(Rung.WRITING, Outcome.PERMISSION_DENIED, facts=(Fact.WORKER_AS_READ_ONLY,), worker=BAD),
        Code.WORKER_READ_ONLY,
    ),
    (ladder(Rung.TOKEN, Outcome.PERMISSION_DENIED), Code.AS_THE_OUTCOME_SAYS),
    (ladder(Rung.HTTP, Outcome.SERVER_ERROR, facts=(Fact.TROUBLE_POSTED,)), Code.PROVIDER_TROUBLE),
    (ladder(*TIMED_OUT, facts=(Fact.CONSOLE_ALLOWLIST,), worker=BAD), Code.ADDRESS_NOT_ALLOWED),
    (ladder(*TIMED_OUT, worker=BAD), Code.BLOCKED_OR_DOWN),
    (ladder(Rung.CONNECTION, Outcome.CONNECTION_REFUSED, worker=BAD), Code.BLOCKED_OR_DOWN),
    (ladder(Rung.ENCRYPTION, Outcome.TLS_FAILED, worker=BAD), Code.AS_THE_OUTCOME_SAYS),
    (ladder(Rung.HTTP, Outcome.NOT_UPSTASH, worker=BAD), Code.AS_THE_OUTCOME_SAYS),
    (ladder(facts=(Fact.CONSOLE_HAS_NO_SUCH_DATABASE,)), Code.OTHER_DATABASE),
    (ladder(facts=(Fact.WORKER_VARIABLE_MISSING,)), Code.WORKER_VARIABLE_MISSING),
    (ladder(facts=(Fact.WORKER_VARIABLE_STAGED,)), Code.NEW_TOKEN_NOT_DEPLOYED),
    (ladder(facts=(Fact.WORKER_VARIABLE_DIFFERS,)), Code.WORKER_VALUE_DIFFERS),
    (ladder(facts=(Fact.WORKER_VARIABLE_DIFFERS, Fact.WORKER_VARIABLE_STAGED)), Code.WORKER_VALUE_DIFFERS),
    (ladder(facts=(Fact.WORKER_ON_LEGACY_PORT,)), Code.WORKER_LEGACY_PORT),
    (ladder(facts=(Fact.WORKER_AUTH_REJECTED, Fact.WORKER_AS_READ_ONLY), worker=BAD), Code.WORKER_READ_ONLY),
    (ladder(facts=(Fact.WORKER_AUTH_REJECTED, Fact.TOKEN_IS_READ_ONLY), worker=BAD), Code.WORKER_URL_WRONG),
    (ladder(facts=(Fact.WORKER_URL_BROKEN,), worker=BAD), Code.WORKER_URL_WRONG),
    (ladder(facts=(Fact.WORKER_AUTH_REJECTED,), worker=BAD), Code.WORKER_URL_WRONG),
    (ladder(facts=(Fact.WORKER_NOT_CONNECTED,), worker=BAD), Code.WORKER_PORT_BLOCKED),
    (ladder(), Code.ALL_GOOD),
    (Ladder(database="main", rungs=()), Code.NOT_KNOWN),
]


@pytest.mark.parametrize(
    ("found", "code"), ROWS, ids=[f"{number}-{row[1].value}" for number, row in enumerate(ROWS)]
)
def test_a_ladder_gets_the_verdict_of_its_combination(found: Ladder, code: Code) -> None:
    """Not the first error alone decides, but which rungs failed together and what the other sources know."""
    verdict = judge(found)
    assert verdict.code is code
    assert verdict.says
    assert verdict.whose_move
    assert len(verdict.next_steps) <= 3


def test_a_slow_database_is_a_verdict_of_its_own() -> None:
    """Everything passes, but the look at the token took longer than the limit that was set."""
    slow = Ladder(
        database="main",
        rungs=tuple(
            Seen(rung=rung, state=State.PASSED, outcome=Outcome.SLOW if rung is Rung.TOKEN else None)
            for rung in REST_WAY
        ),
    )
    assert judge(slow).code is Code.SLOW


def test_every_code_is_reached_by_a_row_of_this_test() -> None:
    """A row that no ladder reaches would be a promise that nobody keeps."""
    assert {code for _, code in ROWS} | {Code.SLOW} == set(Code)


def test_the_name_of_the_service_stands_in_the_steps() -> None:
    """Whoever reads the verdict knows where to set the variable."""
    found = ladder(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS,), worker=BAD)
    assert "of service queue to the console's" in judge(found, service="queue").next_steps[0]
    assert not [row for row in TABLE if "{" in judge(found).says]


def test_what_the_tables_do_not_know_is_said_as_the_outcome_says_it() -> None:
    """A single broken rung without a telling combination gets that outcome's meaning and steps."""
    verdict = judge(ladder(Rung.ENCRYPTION, Outcome.TLS_FAILED, worker=BAD))
    advice = advise(Outcome.TLS_FAILED)
    assert (verdict.says, verdict.whose_move, verdict.next_steps) == (
        advice.meaning,
        advice.whose_move,
        advice.next_steps,
    )


def test_a_worker_that_alone_fails_is_never_called_good() -> None:
    """No row has a word for it, so its outcome's meaning and steps are said, and which way they are about."""
    rungs = tuple(Seen(rung=rung, state=State.PASSED) for rung in REST_WAY)
    alone = Seen(rung=Rung.WORKER, state=State.FAILED, outcome=Outcome.TLS_FAILED)
    verdict = judge(Ladder(database="main", rungs=(*rungs, alone)))
    assert verdict.code is Code.AS_THE_OUTCOME_SAYS
    assert verdict.says == f"REST works, but not the worker's way. {advise(Outcome.TLS_FAILED).meaning}"


def test_a_failed_rung_stops_what_depends_on_it_and_nothing_else() -> None:
    """Without a connection there is no encryption to see, but the status page is read all the same."""
    found = ladder(*TIMED_OUT, worker=BAD)
    assert [seen.rung for seen in found.rungs if seen.state is State.SKIPPED] == [
        Rung.ENCRYPTION,
        Rung.HTTP,
        Rung.TOKEN,
        Rung.READING,
        Rung.WRITING,
    ]
    assert found.passed(Rung.STATUS_PAGE)
