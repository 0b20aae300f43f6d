"""What the tests of deliveries share, and those of the doctor's examination."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitor.sandbox.inbox import InboxStandIn
from tests.flow.clinic import Clinic, Ward, opened_ward
from tests.flow.office import Office


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly, whatever this machine's environment says."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def office(tmp_path: Path, direct: None) -> Iterator[Office]:
    with InboxStandIn() as inbox:
        office = Office(tmp_path / "history.db", inbox)
        yield office
        office.close()


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with opened_ward(tmp_path_factory.mktemp("ward")) as ward:
        yield ward


@pytest.fixture
def clinic(ward: Ward, direct: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    monkeypatch.setenv("SSL_CERT_FILE", str(ward.trust))
    with ExitStack() as stack:
        yield Clinic(ward, stack)
