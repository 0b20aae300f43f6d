"""The papers say what the program does: names, advice and commands in them are held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.cli import _WORDS
from monitor.core.diagnosis import advise
from monitor.core.observation import Outcome

ROOT = Path(__file__).parents[1]
PAPERS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EACH_PAPER = pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.relative_to(ROOT).as_posix())


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^### `(\w+)`$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_outcome_has_an_entry_with_its_advice() -> None:
    """docs/outcomes.md has each code once, with the meaning and the steps that messages carry."""
    sections = _sections((ROOT / "docs" / "outcomes.md").read_text(encoding="utf-8"))
    assert list(sections) == [outcome.value for outcome in Outcome]
    for outcome in Outcome:
        advice = advise(outcome)
        for said in (advice.meaning, *advice.next_steps):
            assert said in sections[outcome.value], f"docs/outcomes.md, {outcome.value}: {said!r} is missing"


@EACH_PAPER
def test_links_lead_somewhere(paper: Path) -> None:
    """Every link to a file of the project names one that is there."""
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", paper.read_text(encoding="utf-8")):
        assert (paper.parent / target).exists(), f"{paper.name} links to {target}"


@EACH_PAPER
def test_files_that_are_named_exist(paper: Path) -> None:
    """A path in code font is a path of the project."""
    for path in re.findall(r"`((?:monitor|tests|docs|bench)/[\w./-]+)`", paper.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), f"{paper.name} names {path}"


@EACH_PAPER
def test_commands_that_are_shown_exist(paper: Path) -> None:
    """`upstash-monitor WORD` and `python -m monitor WORD` name a word of the program."""
    said = re.findall(r"(?:upstash-monitor|python -m monitor) ([a-z][a-z-]*)", paper.read_text(encoding="utf-8"))
    assert set(said) <= set(_WORDS), f"{paper.name} names a word that is not there"


def test_every_word_is_in_the_readme() -> None:
    """Whoever reads the README knows all the program can do."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [word for word in _WORDS if f"`{word}" not in readme] == []
