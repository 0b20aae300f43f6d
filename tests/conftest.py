"""What holds for every test: whatever is said while it runs, its secrets are not in it."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from time import monotonic
from types import ModuleType

import hypothesis
import pytest

from tests.contrib import dockerfile
from tests.program import ROOT, assert_discreet

_NAME = re.compile(r"(TOKEN|KEY|PASSWORD|SECRET|READER|OTHER)")
# Shorter ones are words that may well be said.
_SHORTEST = 16
# A busy machine is slower than Hypothesis' 200 ms an example, and no property is about that.
# What lands is judged by the same examples each time; `make fuzz` looks for new ones.
_ANY_PACE = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("build", _ANY_PACE, derandomize=True)
hypothesis.settings.register_profile("fuzz", _ANY_PACE, max_examples=2000, print_blob=True)
hypothesis.settings.load_profile("build")
# What `make fuzz` takes at most, but for what is found: each property has its share.
_FUZZ_SECONDS = 180.0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bound each property that is run by `make fuzz`; state machines have few examples anyhow."""
    if config.getoption("--hypothesis-profile") != "fuzz":
        return
    properties = [
        item.obj for item in items if isinstance(item, pytest.Function) and hasattr(item.obj, "hypothesis")
    ]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for each in properties:
        each.hypothesis.inner_test = _bounded(
            each.hypothesis.inner_test, _FUZZ_SECONDS * workers / len(properties)
        )


def _bounded(test: Callable[..., object], seconds: float) -> Callable[..., None]:
    """The test, which does nothing any more when the time is over and it has not failed.

    One that has failed goes on: Hypothesis looks for the smallest example.
    """
    began: float | None = None
    has_failed = False

    @functools.wraps(test)
    def bounded(*words: object, **named: object) -> None:
        nonlocal began, has_failed
        began = began or monotonic()
        if monotonic() - began > seconds and not has_failed:
            return
        try:
            test(*words, **named)
        except AssertionError:
            has_failed = True
            raise

    return bounded


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly and judged by our own certificates, whatever the environment says."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def pinned_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the pinned requirements and nothing else, made by the Dockerfile's own step.

    It is made once for all workers of a run and belongs to all of them: nobody changes it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    environment, done = shared / "pinned", shared / "pinned.done"
    with (shared / "pinned.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            [command] = dockerfile.stages()[0].all("RUN")
            installed = subprocess.run(
                ["bash", "-c", command.replace("/opt/venv", str(environment))],
                cwd=ROOT,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                check=False,
            )
            if installed.returncode and "Failed to establish a new connection" in installed.stderr:
                pytest.skip("the requirements cannot be fetched: this machine is offline")
            assert installed.returncode == 0, installed.stderr
            done.touch()
    return environment


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
