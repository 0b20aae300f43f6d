"""What holds for every test: whatever is said while it runs, its secrets are not in it."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from types import ModuleType

import hypothesis
import pytest

from tests.program import assert_discreet

_NAME = re.compile(r"(TOKEN|KEY|PASSWORD|SECRET|READER|OTHER)")
# Shorter ones are words that may well be said.
_SHORTEST = 16
# A busy machine is slower than Hypothesis' 200 ms an example, and no property is about that.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly, whatever this machine's environment says."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Search what a test that passed has printed and logged for the constants of its file that are secrets.

    Not what pytest itself has caught of the log: that is before our sink takes the secrets out.
    """
    report = yield
    module = getattr(item, "module", None)
    if report.passed and call.when == "call" and module is not None:
        try:
            assert_discreet(report.capstdout + report.capstderr, _secrets(module), item.nodeid)
        except AssertionError as error:
            report.outcome, report.longrepr = "failed", str(error)
    return report


def _secrets(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if _NAME.search(name) and isinstance(value, str) and len(value) >= _SHORTEST and " " not in value:
            yield value
