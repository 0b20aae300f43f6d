"""What surrounds the code: workflows, forms and hooks have the shape that their readers expect, files are clean.

None of the workflows can run here; they are held against the schemas that check-jsonschema carries.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.program import make
from tools.check_files import LARGEST_BYTES, mistakes

ROOT = Path(__file__).parents[1]
SCHEMAS = {
    ".github/workflows/tests.yml": "vendor.github-workflows",
    ".github/workflows/release.yml": "vendor.github-workflows",
    ".github/dependabot.yml": "vendor.dependabot",
    ".github/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/feature.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    "contrib/docker/compose.yaml": "vendor.compose-spec",
    "contrib/github-action/action.yml": "vendor.github-actions",
    "contrib/github-action/scheduled-check.yml": "vendor.github-workflows",
}


def _project_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout; the Debian package git is needed as well")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_the_host_of_the_project_reads_fits_its_schema(name: str) -> None:
    """Workflows, dependency updates and issue forms are checked against the published schemas."""
    if find_spec("check_jsonschema") is None:
        pytest.skip("the Python package check-jsonschema is missing")
    from check_jsonschema import main  # not everywhere

    done = CliRunner().invoke(main, ["--builtin-schema", SCHEMAS[name], str(ROOT / name)])
    assert done.exit_code == 0, done.output


def test_every_file_of_the_hosts_is_listed_here() -> None:
    """A workflow or form that is added is checked as well."""
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / ".github").rglob("*.yml")}
    assert found == {name for name in SCHEMAS if name.startswith(".github/")}


def test_every_hook_is_local_and_runs_what_the_project_installs() -> None:
    """`pre-commit` fetches nothing: each hook is a tool of .venv, and a script that it names is there."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    for repository in hooks["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            program, *words = hook["entry"].split()
            assert (hook["language"], program.startswith(".venv/bin/")) == ("system", True), hook["id"]
            assert all((ROOT / word).exists() for word in words if word.endswith(".py")), hook["id"]


def test_the_pythons_that_are_named_are_the_pythons_that_are_tested() -> None:
    """requires-python, the classifiers and the matrix of the workflow agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"


@pytest.mark.parametrize(
    ("answer", "status", "is_answer"),
    [
        ("No known vulnerabilities found", 0, True),
        ("Found 2 known vulnerabilities in 1 package", 1, True),
        (
            "ERROR:pip_audit._cli:six: Dependency not found on PyPI and could not be audited: six (1.17.0)",
            1,
            False,
        ),
        ("requests.exceptions.ConnectionError: Max retries exceeded", 1, False),
    ],
)
def test_an_audit_that_could_not_ask_says_so(tmp_path: Path, answer: str, status: int, is_answer: bool) -> None:
    """What pip-audit found is shown and fails; where it had no database to ask, wanted, found and next follow."""
    for name, does in (("bin/python", ""), ("release-tools/bin/pip-audit", f"echo '{answer}' >&2; exit {status}")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    done = make("audit", f"VENV={tmp_path}")
    assert (done.returncode != 0, done.stdout) == (status != 0, answer + "\n")
    assert ("wanted the database" in done.stderr and "Next: make audit where" in done.stderr) is not is_answer


def test_every_file_of_the_project_is_clean() -> None:
    """What the hook checks before a commit holds for all files: their ends, their size, no secret in them."""
    assert [mistake for path in _project_files() for mistake in mistakes(path)] == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"one\ntwo", "wanted exactly one newline at the end"),
        (b"one\n\n", "wanted exactly one newline at the end"),
        (b"one \ntwo\n", ":1: found whitespace at the end of the line"),
        (b"one\r\n", ":1: found whitespace at the end of the line"),
        (b"\0" * (LARGEST_BYTES + 1), f"wanted at most {LARGEST_BYTES} bytes"),
        (b"x\n\ntoken: " + b"AZ9q" + b"A1b2" * 13 + b"==\n", ":3: found what could be an Upstash REST token"),
        (b"https://hooks.slack.com/services/" + b"T12345678/B12345678/" + b"x1" * 12 + b"\n", "a Slack webhook"),
        (b"bot " + b"123456789:AA" + b"b-" * 16 + b"c\n", "a Telegram bot token"),
    ],
)
def test_the_hook_finds_each_mistake(tmp_path: Path, content: bytes, found: str) -> None:
    """The place is named, and a secret only by its kind."""
    (tmp_path / "file").write_bytes(content)
    [mistake] = mistakes(tmp_path / "file")
    assert found in mistake
    assert "A1b2" not in mistake


@pytest.mark.parametrize("content", [b"", b"\0picture", b"one\n", b"AXmadeUp0Token==\n"])
def test_the_hook_lets_pass_what_is_clean(tmp_path: Path, content: bytes) -> None:
    """An empty file, a picture, a text, a short token that a test made up."""
    (tmp_path / "file").write_bytes(content)
    assert list(mistakes(tmp_path / "file")) == []
