"""The units under contrib/systemd: systemd understands them, and they give the program no more than it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import ROOT

FOLDER = ROOT / "contrib" / "systemd"
SERVICES = ("upstash-monitor.service", "upstash-monitor-check.service")
PYTHON = "/opt/upstash-monitor/.venv/bin/python"
# In tenths, as `systemd-analyze security` counts; most of what is left is the network itself.
HIGHEST_EXPOSURE = 15


def analyze(folder: Path, *words: str) -> str:
    """What systemd-analyze has against the units, with this machine's Python; empty when it is content."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("wanted systemd-analyze, found none. Next: apt-get install systemd")
    for unit in FOLDER.iterdir():
        text = unit.read_text(encoding="utf-8").replace(PYTHON, str(Path(sys.executable).resolve()))
        (folder / unit.name).write_text(text, encoding="utf-8")
    names = [str(path) for path in sorted(folder.iterdir()) if words[0] == "verify" or path.suffix == ".service"]
    done = subprocess.run(["systemd-analyze", *words, *names], capture_output=True, text=True, check=False)
    # A warning, of an unknown key for example, does not change the status.
    return "" if done.returncode == 0 and not done.stderr else done.stdout + done.stderr


def test_systemd_knows_every_key_and_value(tmp_path: Path) -> None:
    """No warning either."""
    assert analyze(tmp_path, "verify") == ""


def test_the_services_are_confined(tmp_path: Path) -> None:
    """Their exposure level is below 1.5 of 10."""
    assert analyze(tmp_path, "security", "--offline=true", f"--threshold={HIGHEST_EXPOSURE}") == ""


def test_both_services_are_confined_alike() -> None:
    """They share user and folder, and what is closed to one is closed to the other."""

    def confinement(name: str) -> set[str]:
        rest = (FOLDER / name).read_text(encoding="utf-8").partition("\nDynamicUser=")[2]
        lines = rest.partition("\n[Install]")[0].splitlines()
        return {line for line in lines if line and not line.startswith("#")}

    assert confinement(SERVICES[0]) == confinement(SERVICES[1])
    assert "User=upstash-monitor" in confinement(SERVICES[0])


def test_the_units_start_what_is_there() -> None:
    """`run` for good, `check` by the timer, which names no unit and so starts the service of its own name."""
    units = [(FOLDER / name).read_text(encoding="utf-8") for name in SERVICES]
    commands = [re.findall("^ExecStart=(.*)$", unit, re.MULTILINE) for unit in units]
    assert commands == [[f"{PYTHON} -m monitor run"], [f"{PYTHON} -m monitor check --exit-zero"]]
    assert (FOLDER / "upstash-monitor-check.timer").exists()
