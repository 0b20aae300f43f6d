"""Runs every test that carries the mark `faults` and writes docs/reliability.md.

That page tells what was done to the program and what it got over, on which machine and when.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor import __version__

PAGE = Path("docs/reliability.md")
_HEAD = """# Reliability

What was done to the program, and what it got over. For each fault the tests hold that checks go on, that nothing
is lost, that the message is right, and that the program recovers by itself. A line is one fault; its tests are
those that carry its name: `@pytest.mark.faults("…")`.

Made by `make faults{full}` on {when}: {machine}; Python {python}, SQLite {sqlite}, {openssl}; version {version} of
the program. The network is the kernel's: two namespaces joined by veth, and a wire in user space that loses, holds
back and reorders packets. Disks are small tmpfs, name servers and channels stand-ins on loopback or at the far end
of that wire.

| fault | tests | result | seconds | where |
|---|---|---|---|---|
"""
_FOOT = """
`make storm` kills the whole program four hundred times, and the store and its deliveries a thousand times, at
random; `make fuzz` looks for new examples of each property for some minutes; `make soak` runs a hundred databases
through all of it for an hour. `make test` has what is quick of all this.
"""


@dataclass
class Fault:
    """What came of the tests of one fault."""

    passed: int = 0
    failed: int = 0
    left_out: int = 0
    seconds: float = 0.0
    files: set[str] = field(default_factory=set)

    def row(self, name: str) -> str:
        words = [
            f"{number} {what}"
            for number, what in ((self.failed, "failed"), (self.left_out, "not run"), (self.passed, "passed"))
            if number
        ]
        tests = self.passed + self.failed + self.left_out
        where = ", ".join(f"`{name}`" for name in sorted(self.files))
        return f"| {name} | {tests} | {', '.join(words)} | {self.seconds:.1f} | {where} |"


class Collector:
    """A pytest plugin: adds up by the name of the fault."""

    def __init__(self) -> None:
        self.faults: dict[str, Fault] = {}
        self._of_test: dict[str, Fault] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("faults"):
                fault = self.faults.setdefault(str(mark.args[0]), Fault())
                fault.files.add(item.nodeid.partition("::")[0])
                self._of_test[item.nodeid] = fault

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        for item in items:
            if fault := self._of_test.get(item.nodeid):
                fault.left_out += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        fault = self._of_test.get(report.nodeid)
        if fault is None:
            return
        fault.seconds += report.duration
        fault.failed += report.failed
        fault.left_out += report.skipped
        fault.passed += report.passed and report.when == "call"


def machine() -> str:
    """Processor, memory, system."""

    def lines() -> Iterator[str]:
        found = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
        names = {line.partition(":")[2].strip() for line in found.splitlines() if line.startswith("model name")}
        yield f"{os.cpu_count()} × {', '.join(names) or platform.machine()}"
        yield f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
        yield f"{platform.system()} {platform.release()}"

    return ", ".join(lines())


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--full", action="store_true", help="the storm of kills too")
    full = asked.parse_args().full
    collector = Collector()
    chosen = "faults" if full else "faults and not storm"
    status = pytest.main(["-m", chosen, "-q", "-p", "no:cacheprovider"], plugins=[collector])
    head = _HEAD.format(
        full=" FULL=1" if full else "",
        when=datetime.now(UTC).date().isoformat(),
        machine=machine(),
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        openssl=" ".join(ssl.OPENSSL_VERSION.split()[:2]),
        version=__version__,
    )
    rows = [fault.row(name) for name, fault in sorted(collector.faults.items(), key=lambda each: each[0].lower())]
    PAGE.write_text(head + "\n".join(rows) + "\n" + _FOOT, encoding="utf-8")
    print(f"written: {PAGE}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
