"""Every row of the verdict table, provoked on real servers: the whole layers is climbed before it is judged."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest

from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import WhoseMove, advise
from monitor.diagnosis.verdicts import RULES, VerdictCode, VerdictRule, judge
from monitor.sandbox.console import Database
from monitor.sandbox.upstash import UpstashFault
from tests.checks.listener import Listener, hang, port_that_refuses
from tests.doctor.clinic import READ_ONLY_TOKEN, TOKEN, TOKEN_NAME, Clinic

Trouble = Callable[[Clinic], object]
# What judges where no row fits.
BESIDE_THE_TABLE = {(VerdictCode.AS_THE_OUTCOME_SAYS, 0), (VerdictCode.NOT_KNOWN, 0)}


def _token_of(number: int) -> str:
    """An older token, whose layout names its database."""
    head = bytes([1, number >> 8, number & 255, 1, 2, 32])
    return base64.urlsafe_b64encode(head + b"id" + b"s" * 32).decode()


def _unplugged(clinic: Clinic) -> None:
    """Nothing leads out of this machine."""
    clinic.connectivity_host.close()
    clinic.upstash.fault = UpstashFault.REFUSE
    clinic.worker_port = port_that_refuses()
    for service in (clinic.page, clinic.console, clinic.railway):
        service.close()


def _staged_first_time(clinic: Clinic) -> None:
    clinic.token = ""
    del clinic.worker.stored[TOKEN_NAME]
    clinic.deploy()
    clinic.worker.stage(UPSTASH_REDIS_REST_TOKEN=TOKEN)


def _mangled(token: str) -> Trouble:
    return lambda clinic: setattr(clinic, "token", token)


def _rotated_and_staged(clinic: Clinic) -> None:
    clinic.worker.stage(UPSTASH_REDIS_REST_TOKEN=clinic.rotate())


def _rotated_and_deployed(clinic: Clinic) -> None:
    clinic.deploy(UPSTASH_REDIS_REST_TOKEN=clinic.rotate())


def _reset_not_yet_everywhere(clinic: Clinic) -> None:
    clinic.accept("AXsomeOther-token_of_before01")


def _another_databases(clinic: Clinic) -> None:
    clinic.without_keys()
    clinic.move_to(name="apt-shark-30690")
    clinic.token = _token_of(30691)


def _older_databases_password(clinic: Clinic) -> None:
    clinic.token = clinic.database.password = "0123456789abcdef" * 2
    clinic.ward.let_in(clinic.token)


def _password_in_place_of_token(clinic: Clinic) -> None:
    clinic.without_keys()
    clinic.token = "aPassword-that_is_no_token1"
    clinic.ward.let_in(clinic.token)


def _stale(clinic: Clinic) -> None:
    clinic.without_keys()
    clinic.rotate()


def _deleted(clinic: Clinic) -> None:
    clinic.gone.add(clinic.host)
    clinic.console.databases.clear()


def _fault(fault: UpstashFault) -> Trouble:
    return lambda clinic: setattr(clinic.upstash, "fault", fault)


def _may_not_write(clinic: Clinic) -> None:
    """A user of the database's access list, let in everywhere."""
    clinic.token = READ_ONLY_TOKEN
    clinic.ward.let_in(READ_ONLY_TOKEN)


def _trouble_posted(clinic: Clinic) -> None:
    clinic.upstash.fault = UpstashFault.SERVER_ERROR
    clinic.page.post_incident("Elevated errors", "N. Virginia, USA (us-east-1)")


def _behind_a_firewall(clinic: Clinic) -> None:
    """The connectivity hosts are out of reach and the status page is not; the database is down."""
    clinic.connectivity_host.close()
    _blocked(clinic)


def _not_on_the_allowlist(clinic: Clinic) -> None:
    clinic.upstash.fault = UpstashFault.REFUSE
    clinic.worker_port = port_that_refuses()
    clinic.database.has_allowlist = True


def _blocked(clinic: Clinic) -> None:
    clinic.upstash.fault = UpstashFault.REFUSE
    clinic.worker_port = port_that_refuses()


def _staged_with_the_new_token_here(clinic: Clinic) -> None:
    clinic.token = clinic.rotate()
    clinic.worker.stage(UPSTASH_REDIS_REST_TOKEN=clinic.token)


def _no_variable(clinic: Clinic) -> None:
    clinic.worker.stored.clear()
    clinic.deploy()


def _other_password(clinic: Clinic) -> None:
    clinic.database.password = "0123456789abcdef" * 2
    clinic.ward.let_in(clinic.database.password)


def _number_in_the_name(clinic: Clinic) -> None:
    clinic.move_to(name=f"apt-shark-{clinic.worker_port}")
    clinic.worker_port = port_that_refuses()


def _a_hash_in_the_token(clinic: Clinic) -> None:
    clinic.token = clinic.database.rest_token = clinic.database.password = "AXstandard#Token"
    clinic.accept(clinic.token)
    clinic.deploy(UPSTASH_REDIS_REST_TOKEN=clinic.token)


def _slow(clinic: Clinic) -> None:
    clinic.upstash.delay_seconds = 0.02
    clinic.knobs["slow"] = "1ms"


# Code, which of the rows with that code, whose move, and what happened.
ROWS: list[tuple[VerdictCode, int, WhoseMove, Trouble]] = [
    (VerdictCode.OFFLINE, 0, WhoseMove.YOURS, _unplugged),
    (VerdictCode.VARIABLE_STAGED, 0, WhoseMove.YOURS, _staged_first_time),
    (VerdictCode.VARIABLE_MISSING, 0, WhoseMove.YOURS, _mangled("")),
    (VerdictCode.REST_VALUE_MANGLED, 0, WhoseMove.YOURS, _mangled(f"{TOKEN}\n")),
    (VerdictCode.VALUE_MALFORMED, 0, WhoseMove.YOURS, _mangled(f'"{TOKEN}"')),
    (VerdictCode.NEW_TOKEN_NOT_DEPLOYED, 0, WhoseMove.YOURS, _rotated_and_staged),
    (VerdictCode.MONITOR_HAS_AN_OLD_TOKEN, 0, WhoseMove.YOURS, _rotated_and_deployed),
    (VerdictCode.WORKER_HAS_AN_OLD_TOKEN, 0, WhoseMove.YOURS, Clinic.rotate),
    (VerdictCode.CONSOLE_TOKEN_REFUSED, 0, WhoseMove.UPSTASH, _reset_not_yet_everywhere),
    (VerdictCode.TOKEN_OF_ANOTHER_DATABASE, 0, WhoseMove.YOURS, _another_databases),
    (VerdictCode.TOKEN_IS_A_PASSWORD, 0, WhoseMove.YOURS, _older_databases_password),
    (VerdictCode.REST_TOKEN_WRONG, 0, WhoseMove.YOURS, _password_in_place_of_token),
    (VerdictCode.TOKEN_STALE, 0, WhoseMove.YOURS, _stale),
    (VerdictCode.DATABASE_GONE, 0, WhoseMove.YOURS, _deleted),
    (VerdictCode.SUSPENDED, 0, WhoseMove.YOURS, _fault(UpstashFault.SUSPENDED)),
    (VerdictCode.SUSPENDED, 0, WhoseMove.YOURS, lambda clinic: setattr(clinic.database, "state", "suspended")),
    (VerdictCode.QUOTA_BEHIND_PING, 0, WhoseMove.YOURS, _fault(UpstashFault.QUOTA_BUT_PING)),
    (VerdictCode.DATABASE_FULL, 0, WhoseMove.YOURS, _fault(UpstashFault.CAPACITY)),
    (VerdictCode.TOKEN_READ_ONLY, 0, WhoseMove.YOURS, _may_not_write),
    (VerdictCode.PROVIDER_TROUBLE, 0, WhoseMove.UPSTASH, _trouble_posted),
    (VerdictCode.ADDRESS_NOT_ALLOWED, 0, WhoseMove.YOURS, _not_on_the_allowlist),
    (VerdictCode.BLOCKED_OR_DOWN, 0, WhoseMove.NETWORK, _blocked),
    (
        VerdictCode.BLOCKED_OR_DOWN,
        0,
        WhoseMove.NETWORK,
        _behind_a_firewall,
    ),
    (VerdictCode.OTHER_DATABASE, 0, WhoseMove.YOURS, lambda clinic: clinic.console.databases.clear()),
    (VerdictCode.WORKER_VARIABLE_MISSING, 0, WhoseMove.YOURS, _no_variable),
    (
        VerdictCode.WORKER_VALUE_DIFFERS,
        0,
        WhoseMove.YOURS,
        lambda clinic: clinic.deploy(UPSTASH_REDIS_REST_TOKEN="AXanother0"),
    ),
    (VerdictCode.NEW_TOKEN_NOT_DEPLOYED, 1, WhoseMove.YOURS, _staged_with_the_new_token_here),
    (VerdictCode.WORKER_LEGACY_PORT, 0, WhoseMove.YOURS, _number_in_the_name),
    (VerdictCode.WORKER_READ_ONLY, 0, WhoseMove.YOURS, _mangled(READ_ONLY_TOKEN)),
    (VerdictCode.WORKER_URL_WRONG, 0, WhoseMove.YOURS, _other_password),
    (VerdictCode.WORKER_URL_WRONG, 1, WhoseMove.YOURS, _a_hash_in_the_token),
    (
        VerdictCode.WORKER_PORT_BLOCKED,
        0,
        WhoseMove.YOURS,
        lambda clinic: setattr(clinic, "worker_port", port_that_refuses()),
    ),
    (VerdictCode.SLOW, 0, WhoseMove.YOURS_THEN_UPSTASH, _slow),
    (VerdictCode.ALL_GOOD, 0, WhoseMove.NOBODY, lambda clinic: None),
    (VerdictCode.AS_THE_OUTCOME_SAYS, 0, advise(Outcome.NOT_UPSTASH).whose_move, _fault(UpstashFault.HTML)),
]
IDS = [f"{code.value}-{trouble.__name__.strip('_<>')}" for code, _, _, trouble in ROWS]


def _rows(code: VerdictCode) -> list[VerdictRule]:
    return [row for row in RULES if row.code is code]


@pytest.mark.parametrize(("code", "which", "whose_move", "trouble"), ROWS, ids=IDS)
def test_a_row_is_reached_from_real_servers(
    clinic: Clinic, code: VerdictCode, which: int, whose_move: WhoseMove, trouble: Trouble
) -> None:
    """The trouble is made, nothing else is touched, and the verdict is that row's and no other's."""
    trouble(clinic)
    layers = clinic.examine()
    verdict = judge(layers)
    assert (verdict.code, verdict.whose_move) == (code, whose_move), layers
    for row in _rows(code)[which : which + 1]:
        assert row.advice is None or verdict.meaning == row.advice.meaning.replace("{service}", "worker")
    assert clinic.railway.changes() == []


@pytest.mark.parametrize("fault", [fault for fault in UpstashFault if fault is not UpstashFault.NONE])
def test_no_fault_of_a_database_is_called_good(clinic: Clinic, fault: UpstashFault) -> None:
    """Whatever the stand-in can be made to do gets a verdict, and somebody has the move."""
    clinic.knobs["timeout"] = "1500ms"
    clinic.upstash.fault = fault
    verdict = judge(clinic.examine())
    assert verdict.code not in (VerdictCode.ALL_GOOD, VerdictCode.NOT_KNOWN)
    assert verdict.whose_move is not WhoseMove.NOBODY


def test_a_worker_that_alone_fails_is_judged_by_its_own_outcome(clinic: Clinic) -> None:
    """Somebody else listens on the worker's port: REST works, and the sentence says which way does not."""
    with Listener(hang, tls=clinic.ward.certificates.server(clinic.host, is_trusted=False)) as stranger:
        clinic.worker_port = stranger.port
        verdict = judge(clinic.examine())
    assert verdict.code is VerdictCode.AS_THE_OUTCOME_SAYS
    assert verdict.meaning == f"REST works, but not the worker's connection. {advise(Outcome.TLS_FAILED).meaning}"


def test_every_row_of_the_table_is_provoked_here() -> None:
    """A new row is not done before real servers have produced it."""
    numbered = {(row.code, _rows(row.code).index(row)) for row in RULES}
    assert {(code, which) for code, which, _, _ in ROWS} | {
        (VerdictCode.NOT_KNOWN, 0)
    } == numbered | BESIDE_THE_TABLE
    assert {code for code, _ in numbered | BESIDE_THE_TABLE} == set(VerdictCode)


def test_a_layers_that_had_no_time_is_no_verdict(clinic: Clinic) -> None:
    """What hangs is not known when time is up; REST is then neither called good nor bad."""
    clinic.upstash.fault = UpstashFault.HANG
    verdict = judge(clinic.examine(within=timedelta(seconds=0.5)))
    assert (verdict.code, verdict.whose_move) == (VerdictCode.NOT_KNOWN, WhoseMove.YOURS)


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (
            VerdictCode.QUOTA_BEHIND_PING,
            lambda database: setattr(database, "commands_used", database.command_limit),
        ),
        (VerdictCode.DATABASE_FULL, lambda database: setattr(database, "storage_used", database.storage_limit)),
    ],
    ids=["used up", "full"],
)
def test_without_billed_layers_the_consoles_figures_tell(
    clinic: Clinic, code: VerdictCode, trouble: Callable[[Database], None]
) -> None:
    """PING is fine in both cases; a command that was answered would outweigh the figures."""
    trouble(clinic.database)
    assert judge(clinic.examine(is_billed=False)).code is code
    assert judge(clinic.examine()).code is VerdictCode.ALL_GOOD
