"""Asks the doctor about a database in doubt, and puts the diagnosis into the message that opens its incident.

It is a best effort: the message waits some seconds at most, and goes without if there is no diagnosis by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from loguru import logger

from monitor.alerts.notification import Severity
from monitor.checks.observation import Check, Family
from monitor.config.settings import DatabaseSettings
from monitor.diagnosis.advice import word
from monitor.diagnosis.verdicts import BILLED_LAYERS, HOST_LAYERS, DatabaseProfile, Diagnosis, Layer
from monitor.incidents.state import Transition
from monitor.lib.threads import SerialThread, on_daemon_thread
from monitor.lib.times import Deadline
from monitor.store.store import Store

if TYPE_CHECKING:
    from monitor.doctor.examine import Examiner

LONGEST_WAIT = timedelta(seconds=10)
# Kept back before a deadline, when there is anybody to tell, for the last try of a delivery.
FOR_DELIVERY = timedelta(seconds=6)
_EXAMINE_WITHIN = timedelta(seconds=8)
_GOOD_FOR_SECONDS = 120.0
# An examination is some ten connections: an outage of the provider must not become a crowd of ours.
_MOST_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class _Examination:
    """One examination, under way or done; it comes to `None` when it failed. `began` is in monotonic seconds."""

    task: asyncio.Task[Diagnosis | None]
    began: float


class Diagnoser:
    """Has the doctor examine databases in doubt, one examination of each at a time.

    `make_examiner` is called once, on a thread: what it imports is heavy, and not needed while all is well.
    Before a `deadline` a message waits only so long that there is time left to deliver it; `on_release` is called
    when one may go.
    """

    def __init__(
        self,
        make_examiner: Callable[[], Examiner],
        *,
        profiles: Mapping[str, DatabaseProfile],
        store: Store,
        store_thread: SerialThread,
        on_release: Callable[[], None],
        deadline: Deadline | None = None,
    ) -> None:
        self._make_examiner = make_examiner
        self._profiles = profiles
        self._store = store
        self._store_thread = store_thread
        self._on_release = on_release
        self._deadline = deadline
        self._examiner: asyncio.Task[Examiner] | None = None
        self._examinations: dict[str, _Examination] = {}
        self._examining: set[asyncio.Task[Diagnosis | None]] = set()
        self._releasing: set[asyncio.Task[None]] = set()

    def wait_for(self, database: DatabaseSettings, check: Check) -> timedelta | None:
        """How long a message about this check may wait for a diagnosis; `None` when there will be none."""
        wait = LONGEST_WAIT
        if self._deadline is not None:
            wait = min(wait, self._deadline.left(reserve=FOR_DELIVERY))
        if not check.outcome.family.is_failing or wait <= timedelta(0):
            return None
        return wait if self._recent(database.name) or self._has_room() else None

    def on_recorded(
        self, database: DatabaseSettings, check: Check, transition: Transition, held: timedelta | None
    ) -> None:
        """Examine at the first sign of trouble, so that the diagnosis is there when the incident opens.

        `held` is what `wait_for` returned, and what the message of an opened incident was held back by. One that
        is slow and begins to fail is as one that opens.
        """
        opened = [one for one in transition.notifications if one.is_beginning]
        incident = transition.incident
        is_told = incident is not None and incident.severity is Severity.CRITICAL
        if held is None or (is_told and not opened):
            return
        if self._recent(database.name) is None and self._has_room():
            self._begin(database, check)
        if opened and opened[0].incident is not None:
            releasing = asyncio.create_task(self._release(database.name, opened[0].incident, held))
            self._releasing.add(releasing)
            releasing.add_done_callback(self._releasing.discard)

    async def wait(self) -> None:
        """Wait until nothing is held for a diagnosis any more."""
        if self._releasing:
            await asyncio.wait(set(self._releasing))

    def stop(self) -> None:
        """Break off every examination; what is held is sent by whoever starts next, once its time is over."""
        for task in (*self._examining, *self._releasing):
            task.cancel()

    def _begin(self, database: DatabaseSettings, check: Check) -> None:
        # Nothing is sent with values that are known to be malformed.
        at_the_host = HOST_LAYERS if check.outcome.family is Family.CONFIGURATION else frozenset[Layer]()
        examining = asyncio.create_task(self._examine(database, check, BILLED_LAYERS | at_the_host))
        self._examining.add(examining)
        examining.add_done_callback(self._examining.discard)
        self._examinations[database.name] = _Examination(task=examining, began=monotonic())

    async def _examine(
        self, database: DatabaseSettings, check: Check, without: frozenset[Layer]
    ) -> Diagnosis | None:
        # The rules of verdicts are imported with the first trouble, as the doctor is.
        from monitor.diagnosis.rules import judge, judge_check, verdict_to_tell

        try:
            if self._examiner is None:
                self._examiner = asyncio.create_task(on_daemon_thread(self._make_examiner, name="doctor"))
            examiner = await asyncio.shield(self._examiner)
            examination = await examiner.examine(database, without=without, within=_EXAMINE_WITHIN)
            profile = self._profiles[database.name]
            diagnosis = Diagnosis(layers=examination.layers, verdict=judge(examination.layers, profile))
            shown = judge_check(check, profile)
            found = verdict_to_tell(diagnosis, check.outcome, shown)
        except Exception as error:  # noqa: BLE001 - the message goes without a diagnosis
            logger.opt(exception=error).error("asking the doctor about {} failed inside", database.name)
            return None
        # As the message will have it: a doctor who does not write finds nothing where the canary did.
        intro = "the doctor's verdict" if found else "the doctor found no more than the check"
        logger.info("{}: {}: {}", database.name, intro, word(found or shown).meaning)
        return diagnosis

    async def _release(self, database: str, incident: int, held: timedelta) -> None:
        """Release the message of an incident, with the diagnosis if that is there in time."""
        examination, diagnosis = self._examinations.pop(database, None), None
        if examination is not None:
            await asyncio.wait({examination.task}, timeout=held.total_seconds())
            diagnosis = examination.task.result() if examination.task.done() else None
        await self._store_thread.run(self._store.release, incident, diagnosis)
        self._on_release()

    def _recent(self, database: str) -> _Examination | None:
        """An examination that is under way, or ended so lately that it still tells how things are."""
        examination = self._examinations.get(database)
        if examination is not None and monotonic() - examination.began <= _GOOD_FOR_SECONDS:
            return examination
        return None

    def _has_room(self) -> bool:
        return len(self._examining) < _MOST_AT_ONCE
