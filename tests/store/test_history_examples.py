"""docs/history.md and README.md: what they show to be typed into a SQLite shell can be typed there."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from monitor.checks.observation import Outcome
from tests.program import ROOT
from tests.store.conftest import StoreSetup

TEXT = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = [
    *re.findall(r"```sql\n(.*?)```", TEXT, flags=re.DOTALL),
    *re.findall(r"^sqlite3 history\.db '(.*)'$", README, re.MULTILINE),
]


@pytest.fixture
def lived_in(setup: StoreSetup) -> StoreSetup:
    """An incident that is over, with messages that arrived at the second try; all of it today."""
    setup.now = datetime.now(UTC)
    setup.checks(Outcome.OK, *[Outcome.TOKEN_REJECTED] * 2, Outcome.OK, Outcome.OK)
    return setup


@pytest.mark.parametrize("example", EXAMPLES, ids=[str(number) for number in range(len(EXAMPLES))])
def test_every_example_answers(lived_in: StoreSetup, example: str) -> None:
    """With rows, from a file in which something has happened, and while it is open elsewhere."""
    with closing(sqlite3.connect(f"file:{lived_in.path}?mode=ro", uri=True)) as shell:
        assert shell.execute(example).fetchall()


def test_rollups_and_phases_can_be_read_by_a_person(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The examples in Python print the histogram of each row that has one, and the phases of each check."""
    for _ in range(130):
        setup.check(Outcome.OK)
    monkeypatch.chdir(setup.path.parent)
    for example in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL):
        exec(compile(example, "docs/history.md", "exec"), {})
    printed = capsys.readouterr().out
    assert " [60]\n" in printed
    assert printed.count("[100, 1000, 2000, 500]") == 130


def test_there_are_examples() -> None:
    """The pattern still finds them."""
    assert len(EXAMPLES) >= 6
