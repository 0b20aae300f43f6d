"""The image's steps without a container daemon: bubblewrap gives the same folders, user and read-only root.

What only a daemon can show is left out: that the base image is there, and that the image's layers are built.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from monitor.sandbox.upstash import UpstashStandIn
from tests.contrib.dockerfile import PATH, stages
from tests.program import LONGEST_WAIT_SECONDS, ROOT, Running

TOKEN = "AXcontainer0Token1234"
USER = "10001"
COMPOSE = yaml.safe_load((PATH.parent / "compose.yaml").read_text(encoding="utf-8"))
BUILT = stages()[-1]


class Image:
    """The final stage of the Dockerfile, as folders."""

    def __init__(self, folder: Path, environment: Path) -> None:
        self._environment = environment
        self._app, self._data = folder / "app", folder / "data"
        for copied in BUILT.all("COPY"):
            if not copied.startswith("--from"):
                source, target = copied.split()
                shutil.copytree(
                    ROOT / source, folder / target.lstrip("/"), ignore=shutil.ignore_patterns("__pycache__")
                )
        self._data.mkdir()

    def command(
        self, *words: str, variables: Mapping[str, str], may_write: bool = False, info: int | None = None
    ) -> list[str]:
        """Words as process 1 of a container with these variables; only /data and /tmp can be written to."""
        bind = "--bind" if may_write else "--ro-bind"
        base = (sys.base_prefix, "/usr", "/bin", "/lib", "/lib64", "/etc")
        binds = [word for folder in base for word in ("--ro-bind-try", folder, folder)]
        environ = {**BUILT.environ(), **variables}
        # $PATH is the base image's.
        environ["PATH"] = environ["PATH"].replace("$PATH", f"{sys.base_prefix}/bin:/usr/bin:/bin")
        return [
            *("bwrap", "--unshare-user", "--uid", USER, "--gid", USER, "--unshare-pid", "--as-pid-1"),
            *("--die-with-parent", "--clearenv", *binds, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
            *("--ro-bind", str(self._environment), "/opt/venv", bind, str(self._app), "/app"),
            *("--bind", str(self._data), "/data", "--remount-ro", "/", "--chdir", BUILT.all("WORKDIR")[-1]),
            *(("--info-fd", str(info)) if info is not None else ()),
            *(word for name, value in environ.items() for word in ("--setenv", name, value)),
            *("--", *words),
        ]

    @contextmanager
    def started(self, **variables: str) -> Iterator[tuple[Running, int]]:
        """ENTRYPOINT and CMD, and the number of process 1 out here; killed when the block is left."""
        words = (*BUILT.words("ENTRYPOINT"), *BUILT.words("CMD"))
        told, telling = os.pipe()
        running = Running(
            subprocess.Popen(
                self.command(*words, info=telling, variables=variables),
                pass_fds=(telling,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        os.close(telling)
        try:
            with os.fdopen(told) as info:
                yield running, json.load(info)["child-pid"]
        finally:
            running.kill()
            assert running.process.stdout is not None
            running.process.stdout.close()

    def run(self, *words: str, may_write: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        command = self.command(*words, may_write=may_write, variables=variables)
        return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_WAIT_SECONDS, check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, pinned_environment: Path) -> Image:
    """The image, its own RUN done; skips where the kernel or the machine lacks what that takes."""
    if shutil.which("bwrap") is None:
        pytest.skip("wanted bwrap, found none. Next: apt-get install bubblewrap")
    image = Image(tmp_path_factory.mktemp("image"), pinned_environment)
    if image.run("true").returncode:
        pytest.skip("bubblewrap is here, and this kernel lets nobody make a user namespace")
    [step] = BUILT.all("RUN")
    # The folder /data is one of those that are bound in, so it is there.
    done = image.run("sh", "-ec", step.replace("mkdir --mode=1777 /data", "test -w /data"), may_write=True)
    assert done.returncode == 0, done.stderr
    return image


def compose_variables(**given: str) -> dict[str, str]:
    """What compose passes to the container when .env has these: all of them, and its own above them."""
    service = COMPOSE["services"]["monitor"]
    assert service["env_file"] == ".env"
    own: dict[str, str] = service["environment"]
    return given | own


def test_the_image_is_small_and_nobodys_root() -> None:
    """A slim base named without a host, a user by number, commands without a shell, which would keep signals."""
    assert {re.sub(r" AS \w+", "", stage.image) for stage in stages()} == {"python:3.13-slim"}
    assert BUILT.all("USER") == [f"{USER}:{USER}"]
    assert [name for name, _ in BUILT.steps].index("USER") > [name for name, _ in BUILT.steps].index("RUN")
    assert BUILT.words("ENTRYPOINT") + BUILT.words("CMD") == ["python", "-m", "monitor", "run"]
    assert BUILT.words("HEALTHCHECK")[0] == "python"
    assert "--require-hashes" in stages()[0].all("RUN")[0]


def test_compose_takes_away_what_is_not_needed() -> None:
    """A read-only root, no capability, no new privilege; history is kept, and the page stays on this machine."""
    service = COMPOSE["services"]["monitor"]
    assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["environment"]["PORT"] == BUILT.environ()["PORT"]
    assert service["volumes"] == ["history:" + BUILT.all("VOLUME")[0]]
    assert service["ports"] == [f"127.0.0.1:{BUILT.environ()['PORT']}:{BUILT.all('EXPOSE')[0]}"]
    build = (PATH.parent / service["build"]["context"] / service["build"]["dockerfile"]).resolve()
    assert build == PATH


def test_the_container_starts_is_healthy_and_stops(image: Image) -> None:
    """As process 1 of nobody's user, with a root that cannot be written, it checks, answers and heeds SIGTERM."""
    with UpstashStandIn(TOKEN) as upstash:
        variables = compose_variables(UPSTASH_REDIS_REST_URL=upstash.url, UPSTASH_REDIS_REST_TOKEN=TOKEN)
        with image.started(**variables | {"PORT": "0"}) as (running, process_1):
            running.wait_for("/healthz on port")
            [line] = [line for line in running.lines if "/healthz on port" in line]
            port = line.rpartition(" ")[2]
            healthy = image.run(*BUILT.words("HEALTHCHECK"), PORT=port)
            assert healthy.returncode == 0, healthy.stderr
            os.kill(process_1, signal.SIGTERM)
            assert running.process.wait(LONGEST_WAIT_SECONDS) == 0
        assert upstash.requests
    # Nothing answers any more.
    assert image.run(*BUILT.words("HEALTHCHECK"), PORT=port).returncode == 1
    listed = image.run("sh", "-c", "ls /data; id -u; touch /app/monitor/x /opt/venv/x /x")
    assert listed.stdout.split() == ["history.db", "history.db-reserve", USER]
    assert listed.stderr.count("cannot touch") == 3
    assert TOKEN not in running.said
