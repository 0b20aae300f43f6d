"""What every channel offers to whoever delivers; how one does it stands in its own file."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from monitor.core.notice import Notice
from monitor.core.outbox import Receipt


class Channel(Protocol):
    """A way to reach people."""

    @property
    def name(self) -> str: ...

    def send(self, notice: Notice, *, footnotes: tuple[str, ...] = (), timeout: timedelta) -> Receipt:
        """Send one message. Blocks at most `timeout` by the wall clock, raises nothing for what a host does."""
        ...
