"""The architecture, held against the imports: typing-only ones and those inside functions count as well.

The packages and their order are those of CONTRIBUTING.md and docs/decisions/0007-the-packages.md.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE_ROOT = ROOT / "monitor"

# From the top down; arrows fall. Packages of one level do not know each other.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("web",),
    ("engine", "report"),
    ("store",),
    ("incidents", "doctor"),
    ("alerts",),
    ("diagnosis",),
    ("checks",),
    ("config",),
    ("lib",),
)
LEVEL_OF = {package: number for number, packages in enumerate(LEVELS) for package in packages}
# Stand-ins of the services, for the demo, the bench and the tests; it knows nothing of the program.
SANDBOX = "sandbox"

# Which modules may know an outside library. Everything else in site-packages is known to nobody.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "apprise": ("monitor/alerts/apprise.py",),
    "aiohappyeyeballs": ("monitor/checks/", "monitor/doctor/network.py", "monitor/lib/bounded_http.py"),
    "apscheduler": ("monitor/engine/scheduler.py",),
    "click": ("monitor/cli/",),
    "h11": ("monitor/checks/rest.py", "monitor/web/"),
    "httpx": ("monitor/checks/",),
    "jinja2": ("monitor/web/", "monitor/alerts/webhook.py"),
    "loguru": ("monitor/cli/", "monitor/engine/", "monitor/doctor/"),
    "markupsafe": ("monitor/web/",),
    "prometheus_client": ("monitor/web/metrics.py",),
    "pydantic": ("monitor/config/",),
    "pydantic_core": ("monitor/config/",),
    "requests": ("monitor/lib/bounded_http.py",),
    "rich": ("monitor/cli/",),
    "sqlite3": ("monitor/store/",),
    "starlette": ("monitor/web/", "monitor/sandbox/"),
    "upstash_redis": ("monitor/checks/rest.py",),
    "urllib3": ("monitor/lib/bounded_http.py",),
    "uvicorn": ("monitor/sandbox/",),
    "yaml": ("monitor/config/",),
}
# Modules that only decide: nothing in them may reach the network, the disk, the clock or the log.
DECIDING = (
    "monitor/alerts/notification.py",
    "monitor/alerts/retry_policy.py",
    "monitor/alerts/text.py",
    "monitor/checks/canary.py",
    "monitor/checks/observation.py",
    "monitor/checks/classify.py",
    "monitor/checks/credentials.py",
    "monitor/diagnosis/",
    "monitor/doctor/worker_variables.py",
    "monitor/incidents/",
    "monitor/lib/text.py",
    "monitor/report/claim.py",
    "monitor/report/values.py",
    "monitor/report/formatting.py",
    "monitor/store/rollups/",
)
TOUCHING = {
    "asyncio",
    "http.client",
    "http.server",
    "loguru",
    "monitor.lib.times.Deadline",
    "monitor.lib.times.now_utc",
    "os",
    "pathlib",
    "random",
    "requests",
    "secrets",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
}
CLOCKS = {"now", "utcnow", "today"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file: its path from the root, its dotted name, its tree."""

    path: str
    name: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The package of the first level; empty for `monitor` itself and `__main__`."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 and parts[1] != "__main__" else ""

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
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return Source(path=path.relative_to(ROOT).as_posix(), name=name, tree=tree)


SOURCES = tuple(_read(path) for path in sorted(SOURCE_ROOT.rglob("*.py")))
NAMES = {source.name for source in SOURCES}
EACH_SOURCE = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path)


def _own(imported: str) -> str | None:
    """The file of ours that an import reads in, if it is one of ours."""
    if imported != "monitor" and not imported.startswith("monitor."):
        return None
    return imported if imported in NAMES else imported.rpartition(".")[0]


def test_every_package_has_its_level() -> None:
    """A new package of the first level is given a place in the order, here and in CONTRIBUTING.md."""
    assert {source.package for source in SOURCES} - {""} == {*LEVEL_OF, SANDBOX}


@EACH_SOURCE
def test_arrows_fall(source: Source) -> None:
    """A module imports from its own package and from levels below; never upwards, never from beside it."""
    for imported in filter(None, map(_own, source.imports())):
        target = imported.split(".")[1] if "." in imported else ""
        if target in ("", source.package):
            continue
        if SANDBOX in (source.package, target):
            assert source.path.startswith("monitor/cli/demo/"), f"{source.path} may not know {imported}"
            continue
        if not source.package:
            assert (source.name, target) == ("monitor.__main__", "cli"), f"{source.path} imports {imported}"
            continue
        assert LEVEL_OF[target] > LEVEL_OF[source.package], (
            f"{source.path} imports {imported}, which is not below it"
        )


def test_no_module_is_part_of_a_circle() -> None:
    """Neither at run time nor for a type checker."""
    graph = {source.name: {own for own in map(_own, source.imports()) if own} for source in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@EACH_SOURCE
def test_each_outside_library_has_one_place(source: Source) -> None:
    """Whoever replaces a library reads one package."""
    for imported in source.imports():
        library = imported.partition(".")[0]
        places = LIBRARIES.get(library)
        assert places is None or source.path.startswith(places), f"{source.path} may not know {library}"


def test_every_listed_library_is_used() -> None:
    """The list above has no entry that nobody needs."""
    used = {imported.partition(".")[0] for source in SOURCES for imported in source.imports()}
    assert set(LIBRARIES) <= used


@pytest.mark.parametrize(
    "source",
    [source for source in SOURCES if source.path.startswith(DECIDING)],
    ids=lambda source: source.path,
)
def test_what_decides_does_not_touch(source: Source) -> None:
    """The rules are pure: no network, no disk, no log, no random number, and the time is handed in."""
    assert not TOUCHING & {*source.imports(), *(name.partition(".")[0] for name in source.imports())}
    calls = [node.func for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    asked = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    opened = {call.id for call in calls if isinstance(call, ast.Name)}
    assert not asked & CLOCKS
    assert not opened & {"open", "print", "input"}


def test_every_deciding_module_is_there() -> None:
    """A module that is renamed does not silently leave the list of those that must stay pure."""
    for path in DECIDING:
        assert (ROOT / path).exists(), path


@EACH_SOURCE
def test_a_module_opens_with_what_it_is(source: Source) -> None:
    """It opens with a sentence, and its name is that of its idea, not `utils`."""
    assert ast.get_docstring(source.tree), f"{source.path} has no opening sentence"
    assert source.name.rpartition(".")[2] not in ("utils", "helpers", "common", "misc")


def test_a_class_name_has_one_meaning() -> None:
    """Whoever reads a class name in one module must not have to ask which of two it is."""
    defined: dict[str, set[str]] = defaultdict(set)
    for source in SOURCES:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].add(source.path)
    assert {name: paths for name, paths in defined.items() if len(paths) > 1} == {}
