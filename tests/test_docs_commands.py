"""Each command that the documentation shows is run by a test, or the documentation says why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from monitor.cli.main import COMMANDS
from tests.program import ROOT, make

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("contrib/**/*.md")])
EACH_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
# What a command in the text, outside the blocks, begins with.
PROGRAMS = (
    r"(?:exec )?python -m|\.venv|make|upstash-monitor|docker|pip|pytest|[A-Z_]+=\w+ pytest|curl|railway"
    rf"|pre-commit|promtool|amtool|sqlite3|systemctl|journalctl|apt-get|git|(?:{'|'.join(COMMANDS)})"
)
MONITOR = r"(?:(?:exec )?(?:\.venv/bin/)?(?:python -m monitor|upstash-monitor) (?:--config \S+ )?)?"

# The beginning of a command, as a pattern, and a test below tests/ that runs it.
RUN_BY = {
    r"git clone": "test_procfile.py::test_railways_start_and_stop",
    r"cd ": "test_docs_commands.py::test_folders_that_are_entered_are_there",
    r"make (demo|run)$": "test_docs_commands.py::test_make_starts_what_the_tests_start",
    r"export |cat > \.env|chmod 600 \.env": "contrib/test_container.py::test_the_container_starts_is_healthy",
    r'eval "\$\(_UPSTASH_MONITOR_COMPLETE=bash': "test_docs_commands.py::test_bash_takes_the_completion",
    r"sqlite3 history\.db": "store/test_history_examples.py::test_every_example_answers",
    r"curl -u :PASSWORD": "web/test_acknowledge.py::test_the_command_of_the_page_acknowledges",
    r"promtool check config": "contrib/test_rules.py::test_prometheus_takes_the_configuration_and_the_rules",
    r"promtool test rules": "contrib/test_rules.py::test_each_alert_fires_when_it_should_and_not_otherwise",
    r"amtool check-config": "contrib/test_rules.py::test_alertmanager_takes_its_configuration",
    r"python3 -m venv |\.venv/bin/python -m (pip|compileall) ": "conftest.py::pinned_environment",
    r"python -m tools\.make_docs": "test_docs.py::test_a_page_that_is_made_is_as_its_tables_are",
    rf"{MONITOR}run\b": "cli/test_run.py::test_a_signal_ends_it_cleanly_with_everything_committed",
    rf"{MONITOR}check\b.* --metrics": "cli/test_check_export.py::test_the_file_has_what_the_round_found",
    rf"{MONITOR}check\b.* --push": "cli/test_check_export.py::test_a_round_is_pushed_to_a_real_pushgateway",
    rf"{MONITOR}check\b": "cli/test_check.py::test_a_healthy_database_is_one_line_and_zero",
    rf"{MONITOR}doctor\b.*--fix": "cli/test_doctor.py::test_the_fix_puts_the_consoles_token_into_the_worker",
    rf"{MONITOR}doctor\b": "cli/test_doctor.py::test_a_healthy_database_passes_every_layer",
    rf"{MONITOR}report\b": "cli/test_report.py::test_what_was_checked_is_reported_in_every_format",
    rf"{MONITOR}replay\b": "test_contract.py::test_the_past_goes_through_the_rules_of_today",
    rf"{MONITOR}incidents\b": "cli/test_small_commands.py::test_an_incident_is_listed_acknowledged_and_listed",
    rf"{MONITOR}silence\b": "cli/test_silence.py::test_a_silence_is_listed_until_it_is_ended",
    rf"{MONITOR}test-alerts\b": "cli/test_small_commands.py::test_a_test_message_shows_each_channels_answer",
    rf"{MONITOR}config check\b": "test_procfile.py::test_every_command_of_the_page_on_railway_runs",
    rf"{MONITOR}config show\b": "cli/test_small_commands.py::test_config_show_masks_secrets_and_counts_a_month",
    rf"{MONITOR}config schema\b": "cli/test_small_commands.py::test_config_schema_describes_the_file_as_it",
    rf"{MONITOR}backup\b": "cli/test_backup.py::test_a_backup_is_whole_while_run_writes",
    rf"{MONITOR}init\b": "cli/test_small_commands.py::test_init_writes_the_file_that_comes_with_the_package",
    rf"{MONITOR}demo\b": "cli/test_demo.py::test_the_story_is_told_to_its_end",
}
# The beginning of a command, and where the documentation says that no test runs it, in these words.
_DEVELOPERS = ("CONTRIBUTING.md", "No test runs these")
_DAEMON = ("contrib/README.md", "`docker` and `docker compose` themselves have not been run")
_BOOTED = ("contrib/README.md", "that takes a machine that systemd has booted")
NOT_RUN = {
    r"make (test|e2e)$": ("CONTRIBUTING.md", "`.ci/run` runs these two before a change lands"),
    r"make |python -m (bench|tools\.make_pictures)|pre-commit |(\w+=write )?pytest ": _DEVELOPERS,
    r"apt-get install ": _DEVELOPERS,
    r"docker\b|chown 10001 |chmod 600 config": _DAEMON,
    r"install |sudoedit |cp co|ch(own|mod) .*/var/lib/|systemctl |journalctl |systemd-run ": _BOOTED,
    r"amtool .* silence add": ("contrib/README.md", "the silence by hand"),
    r"railway ssh$": ("docs/railway.md", "nor can `railway`, its own command line"),
    r"_UPSTASH_MONITOR_COMPLETE=fish": ("README.md", "(a test starts bash's alone)"),
    r"pip install ": ("CONTRIBUTING.md", "want a registry"),
}


def _commands(block: str) -> Iterator[str]:
    """The commands of a block, one by one, without comments, `sudo`, a file's content, and cron's fields."""
    block = re.sub(r"(<<'END')\n.*?^END$", r"\1", block.replace("\\\n", ""), flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines():
        for command in re.sub(r"(^|\s)# .*", "", line).split(" && "):
            if bare := re.sub(r"^(sudo |([\d*/]+ ){5})", "", command.strip()):
                yield bare


def shown(document: Path) -> set[str]:
    """Every command of a document, those within its sentences included."""
    text = document.read_text(encoding="utf-8")
    block = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
    found = {
        command
        for language, body in block.findall(text)
        if language in ("sh", "crontab")
        for command in _commands(body)
    }
    return found | set(re.findall(rf"`((?:{PROGRAMS}) [^`\n]+)`", block.sub("", text)))


@EACH_DOCUMENT
def test_every_block_has_its_language(document: Path) -> None:
    """`sh` is what is typed, `text` what is shown; so no command is overlooked."""
    fences = re.findall(r"^ *```(\w*)", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(fences[::2])
    assert not any(fences[1::2])


@EACH_DOCUMENT
def test_each_command_is_run_by_a_test_or_it_is_said_why_not(document: Path) -> None:
    """Else: name the test in RUN_BY, or write into the document why there is none, and that in NOT_RUN."""
    assert [
        each
        for each in sorted(shown(document))
        if not any(re.match(known, each) for known in {**RUN_BY, **NOT_RUN})
    ] == []


def test_the_tests_and_the_reasons_are_there() -> None:
    """Each test and each reason is where it is looked for, and no entry is for a command that is gone."""
    for test in RUN_BY.values():
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / "tests" / file).read_text(encoding="utf-8"), test
    for file, reason in NOT_RUN.values():
        assert reason in " ".join((ROOT / file).read_text(encoding="utf-8").split()), reason
    everything = {command for document in DOCUMENTS for command in shown(document)}
    assert [
        known for known in {**RUN_BY, **NOT_RUN} if not any(re.match(known, each) for each in everything)
    ] == []


def test_folders_that_are_entered_are_there() -> None:
    """Those of the project, below the folder that a clone makes or the one of the system's service."""
    entered = {each[3:] for document in DOCUMENTS for each in shown(document) if each.startswith("cd ")}
    assert len(entered) > 2
    for folder in entered:
        assert (ROOT / re.sub(r"^(/opt/)?upstash-monitor/?", "", folder)).is_dir()


def _dry_run(target: str) -> list[str]:
    done = make("--dry-run", target)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("command", ["demo", "run"])
def test_make_starts_what_the_tests_start(command: str) -> None:
    """`make demo` ends with the very command of tests/cli/test_demo.py, `make run` with the Procfile's."""
    assert _dry_run(command)[-1] == f".venv/bin/python -m monitor {command}"


def test_make_starts_what_is_there() -> None:
    """Each target of the documents: the modules of the project and the tests that it names."""
    targets = {each.split()[1] for document in DOCUMENTS for each in shown(document) if each.startswith("make ")}
    assert len(targets) > 10
    recipes = "\n".join(line for target in targets for line in _dry_run(target))
    assert {
        module
        for module in re.findall(r" -m ((?:monitor|bench|tools)[\w.]*)", recipes)
        if find_spec(module) is None
    } == set()
    assert {path for path in re.findall(r" (tests/[\w./]+)", recipes) if not (ROOT / path).exists()} == set()


def test_bash_takes_the_completion(tmp_path: Path) -> None:
    """The line of the README, as ~/.bashrc would have it: Tab after `upstash-monitor ch` gives `check`."""
    [line] = [each for each in shown(ROOT / "README.md") if each.startswith('eval "')]
    words = "COMP_WORDS=(upstash-monitor ch) COMP_CWORD=1; _upstash_monitor_completion upstash-monitor"
    done = subprocess.run(
        ["/bin/bash", "-c", f"{line}; complete -p upstash-monitor; {words}; echo ${{COMPREPLY[@]}}"],
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "check", done.stderr
    assert "-F _upstash_monitor_completion upstash-monitor" in done.stdout
