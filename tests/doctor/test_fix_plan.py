"""The plan of a fix: the smallest change after which a redeployed worker has the console's URL and token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.worker_variables import TOKEN_NAME, URL_NAME, FixPlan, Variable, WriteReason, plan_fix
from monitor.lib.secret import Secret

HOST = "merry-cat-12345.upstash.io"
URL = f"https://{HOST}"
OLD, NEW, READ_ONLY = "AXold0000000000000000000", "AXnew1111111111111111111", "AgRO2222222222222222222"
CONSOLE = ConsoleDatabase(
    url=URL, rest_token=Secret(NEW), read_only_rest_token=Secret(READ_ONLY), password=Secret(NEW)
)


def variable(name: str, stored: str, **changes: object) -> Variable:
    deployed = Variable(name=name, stored=Secret(stored), running=Secret(stored), is_running_known=True)
    return replace(deployed, **changes)  # type: ignore[arg-type]  # a test's shorthand


def planned(*variables: Variable, other_hosts: tuple[str, ...] = ()) -> FixPlan:
    plan = plan_fix({one.name: one for one in variables}, CONSOLE, service="worker", other_hosts=other_hosts)
    for value in (OLD, NEW):
        assert value not in f"{plan!r} {plan.lines()}"
    return plan


RIGHT_URL = variable(URL_NAME, URL)
RIGHT_TOKEN = variable(TOKEN_NAME, NEW)
ROWS: list[tuple[str, tuple[Variable, ...], dict[str, WriteReason], bool]] = [
    ("nothing is amiss", (RIGHT_URL, RIGHT_TOKEN), {}, False),
    ("an old token", (RIGHT_URL, variable(TOKEN_NAME, OLD)), {TOKEN_NAME: WriteReason.DIFFERENT}, True),
    ("nothing is set", (), {URL_NAME: WriteReason.MISSING, TOKEN_NAME: WriteReason.MISSING}, True),
    ("whitespace", (RIGHT_URL, variable(TOKEN_NAME, " ")), {TOKEN_NAME: WriteReason.MISSING}, True),
    ("a newline", (RIGHT_URL, variable(TOKEN_NAME, f"{NEW}\n")), {TOKEN_NAME: WriteReason.DIFFERENT}, True),
    (
        "another host",
        (variable(URL_NAME, "https://gone-dog-1.upstash.io"), RIGHT_TOKEN),
        {URL_NAME: WriteReason.ANOTHER_HOST},
        True,
    ),
    (
        "a reference",
        (RIGHT_URL, variable(TOKEN_NAME, OLD, is_reference=True)),
        {TOKEN_NAME: WriteReason.REFERENCE},
        True,
    ),
    ("a reference that is right", (RIGHT_URL, variable(TOKEN_NAME, NEW, is_reference=True)), {}, False),
    (
        "sealed",
        (RIGHT_URL, Variable(name=TOKEN_NAME, is_sealed=True)),
        {TOKEN_NAME: WriteReason.SEALED},
        True,
    ),
    ("a read-only token was chosen by a person", (RIGHT_URL, variable(TOKEN_NAME, READ_ONLY)), {}, False),
    ("stored and not deployed", (RIGHT_URL, variable(TOKEN_NAME, NEW, running=Secret(OLD))), {}, True),
    (
        "staged by a person, which a redeploy does not take",
        (RIGHT_URL, variable(TOKEN_NAME, OLD, staged=Secret(NEW))),
        {TOKEN_NAME: WriteReason.DIFFERENT},
        True,
    ),
    ("what runs is not known", (RIGHT_URL, replace(RIGHT_TOKEN, is_running_known=False, running=None)), {}, True),
]


@pytest.mark.parametrize(
    ("variables", "writes", "redeploys"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_plan_writes_what_is_wrong_and_leaves_what_is_right(
    variables: tuple[Variable, ...], writes: dict[str, WriteReason], redeploys: bool
) -> None:
    """Each variable is written or left, with the reason; a redeploy comes where it changes something."""
    plan = planned(*variables)
    assert {write.name: write.reason for write in plan.writes} == writes
    assert {write.value.reveal() for write in plan.writes} <= {URL, NEW}
    assert set(plan.right) == {URL_NAME, TOKEN_NAME} - set(writes)
    assert plan.redeploys is redeploys


def test_a_rediss_url_is_never_rewritten() -> None:
    """Only a person knows how it is made; the plan says so, and a worker without the pair gets none."""
    name = "REDIS_URL"
    old = variable(name, f"rediss://default:{OLD}@{HOST}:6379")
    plan = planned(old)
    assert (plan.writes, plan.by_hand, plan.redeploys) == ((), (name,), False)
    assert plan.lines() == (
        "leave REDIS_URL of service worker: its password is another, to be changed by hand",
        "nothing is left for this fix to do",
    )
    assert planned(variable(name, f"rediss://default:{NEW}@{HOST}:6379")).by_hand == ()
    # Put together from the pair by reference, it follows the pair.
    plan = planned(RIGHT_URL, variable(TOKEN_NAME, OLD), replace(old, is_reference=True))
    assert (plan.by_hand, [write.name for write in plan.writes]) == ((), [TOKEN_NAME])


def test_a_worker_of_another_watched_database_is_left_alone() -> None:
    """Its variables are right for that one; to write ours over them would break it."""
    other = "gone-dog-1.upstash.io"
    plan = planned(variable(URL_NAME, f"https://{other}"), variable(TOKEN_NAME, OLD), other_hosts=(other,))
    assert (plan.writes, plan.redeploys) == ((), False)
    assert plan.lines() == ("service worker uses another of the databases that are watched; nothing is changed",)


def test_a_plan_reads_as_what_will_be_done() -> None:
    """The command shows these lines and asks."""
    assert planned(RIGHT_URL, variable(TOKEN_NAME, OLD)).lines() == (
        "write UPSTASH_REDIS_REST_TOKEN of service worker: it is different from the console's",
        "leave UPSTASH_REDIS_REST_URL of service worker: it is the console's already",
        "redeploy service worker",
    )
