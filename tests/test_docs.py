"""The documentation is true: names, advice, paths and commands in it are held against the code."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from monitor.checks.observation import Outcome
from monitor.cli.main import COMMANDS, program
from monitor.config.settings import AlertSettings, ChannelSettings, DatabaseSettings, Rule, Settings, StateSettings
from monitor.diagnosis.verdicts import Layer
from monitor.lib.text import Secret
from monitor.lib.times import write_duration
from tools.make_docs import COMMAND, PAGES

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("contrib/**/*.md")])
EACH_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^### `(\w+)`$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_outcome_has_an_entry() -> None:
    """docs/outcomes.md has each code once, in the order of the program."""
    sections = _sections((ROOT / "docs" / "outcomes.md").read_text(encoding="utf-8"))
    assert list(sections) == [outcome.value for outcome in Outcome]


@EACH_DOCUMENT
def test_links_lead_somewhere(document: Path) -> None:
    """Every link to a file of the project names one that is there."""
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


@EACH_DOCUMENT
def test_files_that_are_named_exist(document: Path) -> None:
    """A path in code font is a path of the project."""
    for path in re.findall(
        r"`((?:monitor|tests|docs|bench|tools|contrib)/[\w./-]+)`", document.read_text(encoding="utf-8")
    ):
        assert (ROOT / path).exists(), f"{document.name} names {path}"


@EACH_DOCUMENT
def test_tests_that_are_named_exist(document: Path) -> None:
    """`tests/file.py::test_name` is a test of that file."""
    for file, name in re.findall(r"`(tests/[\w./-]+)::(\w+)`", document.read_text(encoding="utf-8")):
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{document.name} names {file}::{name}"


def test_each_line_of_the_threat_model_has_its_test() -> None:
    """docs/security.md: every row of its tables ends with the tests that hold it."""
    lines = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| who |")]
    rows = [row for row in rows if not row.startswith("| what | where")]
    assert len(rows) > 20
    assert [row for row in rows if "::test_" not in row.rsplit("|", 2)[-2]] == []


@EACH_DOCUMENT
def test_commands_that_are_shown_exist(document: Path) -> None:
    """After `upstash-monitor` and `python -m monitor` stands one of its commands."""
    shown = re.findall(
        r"(?:upstash-monitor|python -m monitor) ([a-z][a-z-]*)", document.read_text(encoding="utf-8")
    )
    assert set(shown) <= set(COMMANDS), f"{document.name} names a command that is not there"


@EACH_DOCUMENT
def test_commands_that_are_shown_are_understood(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its words and options; `make` has each target. Forms with `[…]` or `…` are no commands yet."""
    monkeypatch.setattr(click.Command, "invoke", lambda *_: None)
    text = document.read_text(encoding="utf-8")
    shown = re.findall(rf"`((?:{'|'.join(COMMANDS)}) [^`\n]*)`", text)
    shown += re.findall(r"(?:upstash-monitor|python -m monitor) ((?:--config|[a-z])[^`\n#|&;]*)", text)
    for words in shown:
        if words.split()[0] in (*COMMANDS, "--config") and not re.search(r"[\[|…]|\.\.\.", words):
            with suppress(click.BadOptionUsage):  # an option that is named without its value
                program.main(shlex.split(words.replace(" URL", " http://host:9091")), standalone_mode=False)
    targets = re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make ([a-z][a-z0-9-]*)", text, re.MULTILINE)) <= set(targets)


def test_the_readme_has_the_delays_that_the_simulation_measured() -> None:
    """Share, median and 99th percentile of each row are those of docs/alerting.md, our rules."""
    measured: dict[str, tuple[str, ...]] = {}
    for line in (ROOT / "docs" / "alerting.md").read_text(encoding="utf-8").splitlines():
        if row := re.match(r"\| (.+?) \(.*\) \| (\d+)% · [\d/]+ · (\d+) s/(\d+) s ·", line):
            measured.setdefault(row[1], row.groups()[1:])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")  # the Russian one has the same figures, see below
    told = re.findall(r"\| (.+?) \| (all|\d+ of 100) \| (\d+) s \| (\d+) s \|", readme)
    outages = ("outage 60 s", "outage 90 s", "outage 2 min", "outage 60 min")
    scenarios = (*outages, "token 30 min", "slow 30 min")
    shares = ["100" if share == "all" else share.split()[0] for _, share, *_ in told]
    assert [(share, *rest) for share, (_, _, *rest) in zip(shares, told, strict=True)] == [
        measured[scenario] for scenario in scenarios
    ]


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_every_command_is_in_the_readme(name: str) -> None:
    """Whoever reads the README knows all the program can do."""
    readme = (ROOT / name).read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f"`{command}" not in readme] == []


def test_both_readmes_tell_the_same() -> None:
    """The same chapters and rows, the same links, names and figures; each leads to the other."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ru.md")]
    for pattern in (r"^#+ ", r"^\| ", r"^- \*\*", r"^```"):
        assert len({len(re.findall(pattern, text, re.MULTILINE)) for text in texts}) == 1, pattern
    prose = [re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL) for text in texts]
    for pattern in (r"\]\(([^)]+)\)", r"`([^`\n]+)`", r"(?<![\w.,`/])(\d+)(?![\w`/]|[.,]\d)"):
        english, russian = (
            {*re.findall(pattern, re.sub(r"(?<=\d)[,\u00a0 ](?=\d{3}\b)", "", text))} for text in prose
        )
        assert english ^ russian <= {"README.md", "README.ru.md"}, pattern
    own = [
        re.findall(r"^(?!.*[а-яА-Я])(?:make|export|sqlite3|eval|_UP|\.venv).*$", text, re.MULTILINE)
        for text in texts
    ]
    assert own[0] == own[1]
    assert "](README.ru.md)" in texts[0]
    assert "](README.md)" in texts[1]


def _rows(heading: str) -> dict[str, str]:
    """The first two cells of each row of the table under a heading of docs/configuration.md."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = text.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    cells = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    return {name.strip().strip("`"): value.strip().replace("`", "") for name, value in cells}


def _written(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "none" if value is None else ""
    if isinstance(value, Rule):
        return f"{value.failures} of {value.of}"
    if isinstance(value, BaseModel):
        written = value.model_dump(mode="json", by_alias=True)
        return "{" + ", ".join(f"{name}: {one}" for name, one in written.items()) + "}"
    if isinstance(value, timedelta):
        return write_duration(value)
    if isinstance(value, Secret):
        return value.reveal() or "empty"
    if isinstance(value, tuple):
        return ", ".join(_written(item) for item in value) or "[]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _defaults(model: type[BaseModel]) -> dict[str, str]:
    return {name: _written(field.default) for name, field in model.model_fields.items()}


def test_every_setting_is_documented_with_its_default() -> None:
    """docs/configuration.md has each key of the settings once, and what happens when it is left out."""
    assert _rows("databases") == _defaults(DatabaseSettings)
    assert _rows("alerts") == _defaults(AlertSettings)
    rest = {
        name: _written(Settings.model_fields[name].default)
        for name in ("environment", "region", "connectivity", "maintenance")
    }
    for section in ("history", "state", "page", "heartbeat", "doctor", "logs"):
        model: Any = StateSettings if section == "state" else Settings.model_fields[section].annotation
        assert model is not None
        rest |= {f"{section}.{name}": value for name, value in _defaults(model).items()}
    assert _rows("The rest") == rest
    for channel in ChannelSettings.__args__[0].__args__:
        listed = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
        assert all(f"`{name}`" in listed for name in channel.model_fields)


def test_every_layer_has_an_entry() -> None:
    """docs/doctor.md explains each layer by its code."""
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    for layer in Layer:
        assert f"(`{layer.value}`)" in text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_made_is_as_its_tables_are(name: str) -> None:
    """Texts, outcomes, advice and verdicts are said in one place, and the pages show them."""
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), f"docs/{name} is older than its tables. Next: {COMMAND}"
