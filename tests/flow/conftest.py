"""What the tests of deliveries share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.sandbox.inbox import InboxStandIn
from tests.flow.office import Office


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    # Loopback is reached directly, whatever this machine's environment says.
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with InboxStandIn() as inbox:
        office = Office(tmp_path / "history.db", inbox)
        yield office
        office.close()
