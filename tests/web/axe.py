"""axe-core, the accessibility checker that runs inside a page: fetched once by npm, and held to its checksum."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from tests.program import ROOT

_VERSION = "4.14.1"
_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
_FILE = ROOT / "build" / f"axe-core-{_VERSION}.min.js"


def axe_script() -> str:
    """The script, from the cache or from npm; skips the test where it cannot be had."""
    if not _FILE.exists():
        _fetch()
    text = _FILE.read_bytes()
    assert hashlib.sha256(text).hexdigest() == _SHA256, f"{_FILE} is not axe-core {_VERSION}. Next: delete it"
    return text.decode()


def _fetch() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("wanted npm for axe-core, found none. Next: apt-get install npm")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"axe-core@{_VERSION}", "--silent", "--pack-destination", folder]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pytest.skip(f"wanted axe-core {_VERSION} from npm, found no way to it. Next: give npm a registry")
        [packed] = Path(folder).glob("*.tgz")
        with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as archive:
            script = archive.extractfile("package/axe.min.js")
            assert script is not None
            text = script.read()
    _FILE.parent.mkdir(exist_ok=True)
    # Tests of other processes may fetch it too; a file that is whole takes the place of none.
    part = _FILE.with_suffix(f".{os.getpid()}")
    part.write_bytes(text)
    part.replace(_FILE)
