"""Where the doctor's examinations take place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.doctor.clinic import Clinic, Ward, opened_ward


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with opened_ward(tmp_path_factory.mktemp("ward")) as ward:
        yield ward


@pytest.fixture
def clinic(ward: Ward, direct: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    monkeypatch.setenv("SSL_CERT_FILE", str(ward.trust))
    with ExitStack() as stack:
        yield Clinic(ward, stack)
