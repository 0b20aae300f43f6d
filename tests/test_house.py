"""The plan of the house, held against the imports: typing-only ones and those inside functions count as well.

What the rooms are for is told in CONTRIBUTING.md and docs/decisions/0007-the-house.md.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "monitor"

# From the top down; arrows fall. Rooms of one floor do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("commands",),
    ("daemon",),
    ("wiring_page",),
    ("wiring",),
    ("wiring_doctor",),
    ("flow",),
    ("status", "probes", "store", "channels"),
    ("config_file", "logs", "core", "outbound"),
    ("config_schema", "config_trust", "config_variables", "config_wording", "config_yaml"),
    ("mistakes", "settings"),
    ("setting_types",),
    ("durations", "signals"),
)
OUTSIDE = "sandbox"
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Which files may know an outside library. Everything else in site-packages is known to nobody.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "aiohappyeyeballs": ("monitor/probes/",),
    "apscheduler": ("monitor/daemon.py",),
    "click": ("monitor/cli.py", "monitor/commands/"),
    "httpcore": ("monitor/probes/",),
    "httpx": ("monitor/probes/upstash.py", "monitor/probes/transport.py"),
    "jinja2": ("monitor/status/",),
    "loguru": (
        "monitor/logs.py",
        "monitor/flow/",
        "monitor/daemon.py",
        "monitor/wiring.py",
        "monitor/commands/run.py",
    ),
    "markupsafe": ("monitor/status/",),
    "prometheus_client": ("monitor/status/",),
    "pydantic": ("monitor/settings.py", "monitor/setting_types.py", "monitor/config_"),
    "pydantic_core": ("monitor/config_",),
    "redis": ("monitor/probes/worker.py",),
    "requests": ("monitor/outbound/",),
    "rich": ("monitor/commands/",),
    "sqlite3": ("monitor/store/",),
    "starlette": ("monitor/status/",),
    "upstash_redis": ("monitor/probes/upstash.py",),
    "urllib3": ("monitor/outbound/",),
    "uvicorn": ("monitor/status/",),
    "yaml": ("monitor/config_yaml.py",),
}
# Files that only decide: nothing in them may reach the network, the disk, the clock or the log.
TOUCHING = {
    "asyncio",
    "http.client",
    "http.server",
    "loguru",
    "os",
    "pathlib",
    "random",
    "requests",
    "secrets",
    "socket",
    "sqlite3",
}
TOUCHING |= {"ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request"}
CLOCKS = {"now", "utcnow", "today"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file: its path from the root, its dotted name, its tree."""

    path: str
    name: str
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        return self.name.split(".")[1] if "." in self.name else ""

    def imports(self) -> Iterator[str]:
        """Every dotted name that is imported anywhere in the file."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}: relative imports hide arrows"
                base = node.module or ""
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _read(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Source(path=path.relative_to(ROOT).as_posix(), name=name, tree=ast.parse(text), lines=text.count("\n"))


SOURCES = tuple(_read(path) for path in sorted(PACKAGE.rglob("*.py")))
NAMES = {source.name for source in SOURCES}
EACH_SOURCE = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path)


def _own(imported: str) -> str | None:
    """The file of ours that an import reads in, if it is one of ours."""
    if imported != "monitor" and not imported.startswith("monitor."):
        return None
    return imported if imported in NAMES else imported.rpartition(".")[0]


def test_every_room_is_on_the_plan() -> None:
    """A new top-level module or folder is given a floor, here and in the decision that explains it."""
    assert {source.room for source in SOURCES} - {""} == {*FLOOR_OF, OUTSIDE}


@EACH_SOURCE
def test_arrows_fall(source: Source) -> None:
    """A file imports from its own folder and from floors below; never upwards, never from a neighbour."""
    for imported in filter(None, map(_own, source.imports())):
        target = imported.split(".")[1] if "." in imported else ""
        if target in ("", source.room):
            continue
        if OUTSIDE in (source.room, target):
            assert source.room == "commands", f"{source.path} may not know {imported}"
            continue
        assert source.room, f"the package's face imports {imported}"
        assert FLOOR_OF[target] > FLOOR_OF[source.room], f"{source.path} imports {imported}, which is not below it"


def test_no_file_is_part_of_a_circle() -> None:
    """Neither at run time nor for a type checker: a circle ties the reader in a knot."""
    graph = {source.name: {own for own in map(_own, source.imports()) if own} for source in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@EACH_SOURCE
def test_each_outside_library_has_one_room(source: Source) -> None:
    """Whoever replaces a library reads one folder."""
    for imported in source.imports():
        library = imported.partition(".")[0]
        rooms = LIBRARIES.get(library)
        assert rooms is None or source.path.startswith(rooms), f"{source.path} may not know {library}"


def test_every_dependency_has_a_room() -> None:
    """What pyproject.toml names is used, and only in the rooms listed here."""
    used = {imported.partition(".")[0] for source in SOURCES for imported in source.imports()}
    assert set(LIBRARIES) <= used


@pytest.mark.parametrize(
    "source", [source for source in SOURCES if source.room == "core"], ids=lambda source: source.path
)
def test_what_decides_does_not_touch(source: Source) -> None:
    """The rules are pure: no network, no disk, no log, no random number, and the time is handed in."""
    assert not TOUCHING & {*source.imports(), *(name.partition(".")[0] for name in source.imports())}
    calls = [node.func for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    asked = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    opened = {call.id for call in calls if isinstance(call, ast.Name)}
    assert not asked & CLOCKS
    assert not opened & {"open", "print", "input"}


@EACH_SOURCE
def test_a_file_is_one_idea_and_says_which(source: Source) -> None:
    """It opens with a sentence, is not called `utils`, and ends before it becomes two ideas."""
    assert ast.get_docstring(source.tree), f"{source.path} has no opening sentence"
    assert source.name.rpartition(".")[2] not in ("utils", "helpers", "common", "misc")
    assert source.lines <= 300, f"{source.path} has {source.lines} lines; is it still one idea?"
