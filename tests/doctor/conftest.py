"""The database that the doctor examines, and the servers that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.doctor.examined_database import ExaminedDatabase, SharedServers, open_shared_servers


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServers]:
    with open_shared_servers(tmp_path_factory.mktemp("shared")) as shared:
        yield shared


@pytest.fixture
def examined(shared: SharedServers, direct: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExaminedDatabase]:
    monkeypatch.setenv("SSL_CERT_FILE", str(shared.trust))
    with ExitStack() as stack:
        yield ExaminedDatabase(shared, stack)
