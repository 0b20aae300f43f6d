"""The action's own steps in bash, as GitHub's runner starts them; others' actions cannot run here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn
from tests.contrib.dockerfile import stages
from tests.program import LONGEST_WAIT_SECONDS, ROOT, told

TOKEN = "AXaction0Token0fTests1234"
FOLDER = ROOT / "contrib" / "github-action"
ACTION = yaml.safe_load((FOLDER / "action.yml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((FOLDER / "scheduled-check.yml").read_text(encoding="utf-8"))


def own_steps() -> tuple[dict[str, Any], dict[str, Any]]:
    """The one that installs and the one that checks."""
    install, check = (step for step in ACTION["runs"]["steps"] if "run" in step)
    return install, check


def test_the_action_installs_what_the_image_does() -> None:
    """The same command, in other folders: the one that has run when the tests of the Dockerfile pass."""
    places = {
        '"$RUNNER_TEMP/upstash-monitor/bin/python"': "/opt/venv/bin/python",
        '"$RUNNER_TEMP/upstash-monitor"': "/opt/venv",
        '"$GITHUB_ACTION_PATH/../../requirements.txt"': "requirements.txt",
    }
    command = own_steps()[0]["run"].replace("\\\n", " ")
    for place, of_image in places.items():
        command = command.replace(place, of_image)
    [of_image] = stages()[0].all("RUN")
    assert command.split() == of_image.replace(" && ", " ").split()


def test_a_run_remembers_what_the_one_before_has_sent(tmp_path: Path, pinned_environment: Path) -> None:
    """With the history of the cache a second run sends no second message, and no run fails for a database."""
    (tmp_path / "upstash-monitor").symlink_to(pinned_environment)
    (tmp_path / "monitor.yaml").write_text(
        "databases:\n  - {name: main, url: '${UPSTASH_REDIS_REST_URL}', token: '${UPSTASH_REDIS_REST_TOKEN}'}\n"
        "connectivity: []\nalerts: {confirm_interval: 50ms, diagnose: false}\n",
        encoding="utf-8",
    )
    # A secret that is not set is an empty variable.
    given = dict.fromkeys(WORKFLOW["jobs"]["check"]["env"], "")
    with UpstashStandIn("another token") as upstash, MessagingStandIn() as people:
        environ = {
            **given,
            "PATH": os.environ["PATH"],
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_WORKSPACE": str(tmp_path),
            "GITHUB_ACTION_PATH": str(FOLDER),
            "CONFIG": "monitor.yaml",
            "UPSTASH_REDIS_REST_URL": upstash.url,
            "UPSTASH_REDIS_REST_TOKEN": TOKEN,
            "SLACK_WEBHOOK_URL": people.slack_url,
        }
        for _ in range(2):
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", own_steps()[1]["run"]],
                env=environ,
                capture_output=True,
                text=True,
                timeout=LONGEST_WAIT_SECONDS,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        assert told(people) == [(1, "opened")]
    saved = {step["with"]["path"] for step in ACTION["runs"]["steps"] if "cache" in step.get("uses", "")}
    assert saved == {"${{ runner.temp }}/upstash-history"}
    left = sorted(path.name for path in (tmp_path / "upstash-history").iterdir())
    assert left == ["history.db", "history.db-reserve"]


@pytest.mark.parametrize("name", ["UPSTASH_REDIS_REST_URL", "SLACK_WEBHOOK_URL", "HEARTBEAT_URL"])
def test_the_workflow_hands_over_secrets_only(name: str) -> None:
    """Each variable is the secret of its name, and the workflow's own token can do nothing."""
    assert WORKFLOW["jobs"]["check"]["env"][name] == f"${{{{ secrets.{name} }}}}"
    assert WORKFLOW["permissions"] == {}
