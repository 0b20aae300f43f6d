"""A second Upstash database that remembers the state of incidents and the outbox for a `check` without a disk.

One key is read at the start of a run and written at its end, and before a canary that is due, which is sent only
where that works; whoever writes last wins. When that database is away, the run decides alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from loguru import logger

from monitor.checks.classify import classify
from monitor.checks.credentials import inspect
from monitor.checks.observation import Observation, Outcome
from monitor.checks.rest import RestProbeFactory
from monitor.config.settings import StateSettings
from monitor.lib.process import own_limit
from monitor.lib.times import Deadline
from monitor.store.file.document import NewerDocumentError, StateDocument, UnusableDocumentError

_LONGEST_READ = timedelta(seconds=5)
_ALONE = "this run decides alone, as if nothing had been told before"
_TRIES = 2


class StateUnreadableError(Exception):
    """What is remembered cannot be had. The text says why."""


class StateDatabase:
    """What one run remembers of those before it; `read` and `write` raise nothing whatever the network does."""

    def __init__(self, settings: StateSettings, probes: RestProbeFactory) -> None:
        self._key = settings.key
        url, token = settings.url.reveal(), settings.token.reveal()
        self._mistake = inspect(url, token)
        self._probe = None if self._mistake else probes.probe(url=url, token=token)
        self._may_be_written = False

    async def read(self, within: timedelta) -> StateDocument | None:
        """What the last run left, after at most `within`; `None` where that is nothing, or cannot be had."""
        try:
            return await self.load(within)
        except StateUnreadableError as error:
            # What is there stays there: the runs after this one go on from it.
            logger.warning("state: {}; {}", error, _ALONE)
            return None

    async def load(self, within: timedelta) -> StateDocument | None:
        """As `read`, for one who cannot go on without: raises `StateUnreadableError` where it cannot be had."""
        if self._probe is None:
            what = self._mistake.summary if self._mistake else ""
            raise StateUnreadableError(f"{what} (`config check` tells what is wanted)")
        text: str | None = None
        probe, key = self._probe, self._key

        async def get(timeout: timedelta) -> Observation:
            nonlocal text
            observation, text = await probe.get(key, timeout=timeout)
            return observation

        trouble = await _try(get, min(within, _LONGEST_READ))
        if trouble:
            raise StateUnreadableError(f"its database could not be read ({trouble})")
        try:
            document = None if text is None else StateDocument.parsed(text)
        except NewerDocumentError as error:
            raise StateUnreadableError(
                f"{key} holds {error}; it is left as it is (use the newer program here too)"
            ) from None
        except UnusableDocumentError as error:
            logger.warning("state: {} holds {}; {}, and writes it anew", key, error, _ALONE)
            document = None
        self._may_be_written = True
        return document

    async def write(self, document: StateDocument, within: timedelta) -> None:
        """Leave that for the next run, after at most `within`; not where what is there could not be read."""
        if not self._may_be_written:
            return
        trouble = await self.save(document, within)
        if trouble:
            words = "what this run told may be told again by the next"
            logger.warning("state: its database could not be written ({}); {}", trouble, words)

    async def save(self, document: StateDocument, within: timedelta) -> str:
        """Write it whatever is there, after a `load`; why that failed, empty where it did not."""
        probe, text = self._probe, document.text()
        if probe is None:
            return "no usable URL or token"
        return await _try(lambda timeout: probe.set(self._key, text, timeout=timeout), within)


async def _try(command: Callable[[timedelta], Awaitable[Observation]], within: timedelta) -> str:
    """Why the command failed, empty where it did not. A second try, where time is left, outlasts a lost packet."""
    deadline, trouble = Deadline(within), ""
    for tries_left in range(_TRIES, 0, -1):
        try:
            observation = await command(deadline.left() / tries_left)
        except Exception as error:  # noqa: BLE001 - what is ours must not cost the databases their check either
            return own_limit(error) or type(error).__name__
        result = classify(observation, slow=None)
        if result.outcome is Outcome.OK:
            return ""
        trouble = result.summary
    return trouble
