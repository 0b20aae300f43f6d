"""Numbers of incidents that memory opens: told, perhaps lost by a kill, and never given to another incident."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.store.file.document import StateDocument
from monitor.store.tables.incidents import FIRST_IN_MEMORY
from tests.store.conftest import StoreSetup
from tests.store.disks import fill, locked, small_disk

OK, REJECTED = Outcome.OK, Outcome.TOKEN_REJECTED

pytestmark = pytest.mark.usefixtures("_short_locks")


def numbers(setup: StoreSetup) -> list[int]:
    return [int(text.split()[0]) for text in setup.deliver() if text.endswith(" opened")]


def test_no_number_is_given_twice_whatever_a_kill_costs(setup: StoreSetup) -> None:
    """Three databases fail in turn, each while the file cannot be written, and each time the program is killed."""
    setup.checks(REJECTED, REJECTED)
    given = numbers(setup)
    for name in ("a", "b", "c"):
        with locked(setup.path):
            for _ in range(2):
                setup.check(REJECTED, database=name, after=timedelta(seconds=1))
            assert setup.in_memory()
            given += numbers(setup)
        setup.restart_after_a_kill()
    for _ in range(2):
        setup.check(REJECTED, database="d")
    given += numbers(setup)
    assert len(set(given)) == len(given) == 5
    assert (given[0], given[-1]) == (1, 2)
    assert all(number >= FIRST_IN_MEMORY for number in given[1:-1])


def test_what_memory_opened_keeps_its_number_and_the_files_go_on(setup: StoreSetup) -> None:
    """Brought to the file, it is acknowledged and closed under it; the next incident has the file's next."""
    setup.checks(REJECTED, REJECTED, OK, OK)
    setup.deliver()
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED)
        [number] = numbers(setup)
    setup.check(REJECTED)
    assert not setup.in_memory()
    assert setup.store.acknowledge_incident(number, setup.now)
    assert setup.checks(OK, OK, REJECTED, REJECTED) == ["closed", "opened"]
    assert setup.deliver() == [f"{number} closed", "2 opened"]
    assert [incident.id for _, incident in setup.store.incidents(closed_too=True)] == [2, number, 1]
    setup.restart()
    assert setup.checks(OK, OK, REJECTED, REJECTED) == ["closed", "opened"]
    assert setup.deliver() == ["2 closed", "3 opened"]


def test_many_incidents_in_memory_have_numbers_of_their_own(tmp_path: Path) -> None:
    """More than there are numbers for one second: the next ones follow."""
    path = tmp_path / "history.db"
    path.mkdir()
    setup = StoreSetup(path)
    for name in range(110):
        for _ in range(2):
            setup.check(REJECTED, database=f"db{name}", after=timedelta(0))
    assert len({incident.id for _, incident in setup.store.incidents()}) == 110
    setup.store.close()


def test_what_memory_opened_goes_on_after_a_kill(setup: StoreSetup) -> None:
    """It is noted in room taken before: the next start knows it, says where it stands, and tells its end."""
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED)
        [number] = numbers(setup)
    setup.logged.clear()
    setup.restart_after_a_kill()
    assert any(f"incident {number} of main was told while" in text for _, text in setup.logged)
    setup.checks(REJECTED)
    assert (setup.deliver("slack"), setup.deliver("telegram")) == ([], [f"{number} ongoing"])
    assert setup.checks(OK, OK) == ["closed"]
    assert (setup.deliver("slack"), setup.deliver("telegram")) == ([f"{number} closed"], [f"{number} closed"])
    setup.restart_after_a_kill()
    assert setup.store.incidents() == []
    assert setup.deliver() == []


@pytest.mark.faults("SIGKILL while the file cannot be written")
def test_what_memory_opened_goes_on_through_kills_while_the_file_stays_out_of_reach(setup: StoreSetup) -> None:
    """Each start takes it up from the note, and the one that closes it takes it out."""
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED)
        [number] = numbers(setup)
        for _ in range(2):
            setup.restart_after_a_kill()
            assert setup.in_memory()
            assert [incident.id for _, incident in setup.store.incidents()] == [number]
        assert setup.checks(OK, OK) == ["closed"]
        assert f"{number} closed" in setup.deliver("slack")
        assert f"{number} missed" in setup.deliver("telegram")
        setup.restart_after_a_kill()
        assert setup.store.incidents() == []


def test_an_end_that_memory_saw_and_could_not_tell_is_told_after_a_kill(setup: StoreSetup) -> None:
    """To those who heard of the incident as its end, to the others as a whole."""
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED)
        [number] = numbers(setup)
        assert setup.checks(OK, OK) == ["closed"]
    setup.restart_after_a_kill()
    assert setup.checks(OK, OK) == []
    assert [setup.deliver(name) for name in setup.channels] == [[f"{number} closed"], [f"{number} missed"]]
    assert setup.shell("SELECT closed_at IS NULL FROM incident_log") == [(0,)]


def test_an_end_and_another_beginning_that_memory_told_are_not_told_again_after_a_kill(setup: StoreSetup) -> None:
    """The file has the first incident as open, and knows nothing of the second; both are told to the end, once."""
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver() == ["1 opened"]
    with locked(setup.path):
        assert setup.checks(OK, OK, REJECTED, REJECTED) == ["closed", "opened"]
        *_, first, second = setup.deliver()
        assert first == "1 closed"
    setup.restart_after_a_kill()
    assert setup.deliver("slack") == []
    assert setup.checks(OK, OK) == ["closed"]
    assert setup.deliver("slack") == [second.replace("opened", "closed")]
    assert len(setup.deliver("telegram")) == 2
    assert setup.shell("SELECT count(*), count(closed_at) FROM incident_log") == [(2, 2)]


def test_what_memory_was_telling_when_it_was_killed_may_have_arrived(setup: StoreSetup) -> None:
    """A channel that is removed then, and comes back after the end, is told that it is over."""
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED)
        [number] = numbers(setup)
        assert setup.store.claim("telegram", setup.now)
    setup.restart_after_a_kill()
    setup.channels = ("slack",)
    setup.restart()
    setup.checks(OK, OK)
    assert setup.deliver("slack") == [f"{number} closed"]
    setup.channels = ("slack", "telegram")
    setup.restart()
    assert setup.deliver("telegram") == [f"{number} missed"]


def test_several_incidents_of_one_database_that_only_memory_knew_are_told_to_the_end(setup: StoreSetup) -> None:
    """The last of them is open when the program is killed."""
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED)
        [first] = numbers(setup)
        setup.checks(OK, OK, REJECTED, REJECTED)
        [second] = [number for number in numbers(setup) if number != first]
    setup.restart_after_a_kill()
    setup.checks(OK, OK)
    assert setup.deliver("slack") == [f"{second} closed"]
    assert setup.deliver("telegram") == [f"{first} missed", f"{second} missed"]


@pytest.mark.faults("a full disk")
def test_what_memory_opened_is_noted_on_a_full_disk(tmp_path: Path) -> None:
    """A real one, without a byte left, and a program that is killed on it."""
    with small_disk(tmp_path / "disk", "512k"):
        setup = StoreSetup(tmp_path / "disk" / "history.db")
        setup.check(OK)
        fill(tmp_path / "disk")
        while not setup.in_memory():
            setup.check(OK, after=timedelta(seconds=1))
        ballast = fill(tmp_path / "disk")  # leaving the file gave its log's room back
        setup.checks(REJECTED, REJECTED)
        [number] = numbers(setup)
        ballast.unlink()
        setup.restart_after_a_kill()
        assert not setup.in_memory()
        assert setup.checks(OK, OK) == ["closed"]
        assert setup.deliver()[-1] == f"{number} closed"
        setup.store.close()


def test_a_start_on_a_full_disk_has_room_for_a_note(tmp_path: Path) -> None:
    """It was taken by an earlier start, and stays when that ends."""
    with small_disk(tmp_path / "disk", "512k"):
        setup = StoreSetup(tmp_path / "disk" / "history.db")
        setup.check(OK)
        setup.store.close()
        ballast = fill(tmp_path / "disk")
        setup.restart_after_a_kill()
        assert setup.in_memory()
        setup.checks(REJECTED, REJECTED)
        [number] = numbers(setup)
        ballast.unlink()
        setup.restart_after_a_kill()
        assert not setup.in_memory()
        assert [incident.id for _, incident in setup.store.incidents()] == [number]
        setup.store.close()


@pytest.mark.parametrize(
    "note",
    [
        b"[",
        b"[[1]]",
        b'{"a": 1}',
        b'{"incidents": [["main", 1, {}, null, {}]], "delivered": []}',
        b'{"incidents": [["main", 1, {}, null, 1]], "delivered": []}',
        b'{"incidents": [], "delivered": [1]}',
        b"\xff\xfe",
        b"[" * 5000,
    ],
)
def test_a_note_that_is_damaged_is_left_alone(setup: StoreSetup, note: bytes) -> None:
    """It costs nothing but itself."""
    (setup.path.parent / "history.db-reserve").write_bytes(note + b"\0")
    setup.restart_after_a_kill()
    assert setup.checks(REJECTED, REJECTED) == ["opened"]


def test_a_number_is_not_given_again_where_the_state_goes_to_another_disk(
    setup: StoreSetup, tmp_path: Path
) -> None:
    """Days after what memory opened, when what is over is no part of the state any more."""
    setup.checks(REJECTED, REJECTED, OK, OK)
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED, OK, OK)
        setup.deliver("slack")
        setup.deliver("telegram")
    setup.now += timedelta(days=2)
    setup.checks(OK)
    document = StateDocument.parsed(setup.store.state_document().text())
    setup.store.close()
    setup.path = tmp_path / "other.db"
    setup.restart_after_a_kill(document)
    setup.checks(REJECTED, REJECTED)
    assert numbers(setup) == [2]
