"""Asks the doctor about a database in doubt, and puts the opinion into the message that opens its incident.

The layers is climbed in `examine`; what a message takes from it is decided in `core/opinion`. It is a best effort:
the message waits some seconds at most, and goes without if the doctor does not know by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from loguru import logger

from monitor.alerts.notification import Notification, NotificationKind
from monitor.checks.observation import Check, Family
from monitor.config.settings import DatabaseSettings
from monitor.diagnosis.layers import BILLED_LAYERS, HOST_LAYERS, Layer
from monitor.incidents.state import Transition
from monitor.lib.threads import on_daemon_thread
from monitor.store.store import Store
from monitor.store.thread import StoreThread

if TYPE_CHECKING:
    from monitor.diagnosis.verdicts import Diagnosis
    from monitor.doctor.examine import Examiner

LONGEST_WAIT = timedelta(seconds=10)
_EXAMINE_WITHIN = timedelta(seconds=8)
_GOOD_FOR_SECONDS = 120.0
# A layers is some ten connections: an outage of the provider must not become a crowd of ours.
_MOST_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class _Diagnosing:
    """One climb, under way or done; `None` comes of it when it failed inside. `began` is in monotonic seconds."""

    task: asyncio.Task[Diagnosis | None]
    began: float


class Diagnoser:
    """The doctor's opinions, one at a time of each database.

    `make_examiner` is called once, on a thread: what it reads in is heavy, and not needed while all is well.
    `patience` says how long a message may wait now; `on_release` is called when one may go.
    """

    def __init__(
        self,
        make_examiner: Callable[[], Examiner],
        *,
        service: str,
        store: Store,
        store_thread: StoreThread,
        on_release: Callable[[], None],
        patience: Callable[[], timedelta] = lambda: LONGEST_WAIT,
    ) -> None:
        self._make_examiner = make_examiner
        self._service = service
        self._store = store
        self._store_thread = store_thread
        self._on_release = on_release
        self._patience = patience
        self._examiner: asyncio.Task[Examiner] | None = None
        self._under_way: dict[str, _Diagnosing] = {}
        self._examining: set[asyncio.Task[Diagnosis | None]] = set()
        self._telling: set[asyncio.Task[None]] = set()

    def hold(self, database: DatabaseSettings, check: Check) -> timedelta | None:
        """How long a message about this check may wait for an opinion; `None` when there will be none."""
        patience = min(self._patience(), LONGEST_WAIT)
        if not check.outcome.family.is_failing or patience <= timedelta(0):
            return None
        return patience if self._known(database.name) or self._has_room() else None

    def heed(
        self, database: DatabaseSettings, check: Check, transition: Transition, held: timedelta | None
    ) -> None:
        """Climb at the first sign of trouble, so that the opinion is there when the incident opens.

        `held` is what `hold` said, and what an opened incident's message was held back by.
        """
        opened = next(
            (
                notification
                for notification in transition.notifications
                if notification.kind is NotificationKind.OPENED
            ),
            None,
        )
        if held is None or (opened is None and transition.incident is not None):
            return
        if self._known(database.name) is None and self._has_room():
            self._begin(database, check)
        if opened is not None and opened.incident is not None:
            telling = asyncio.create_task(self._tell(database.name, opened.incident, held))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    def stop(self) -> None:
        """Break off every climb; what is held is sent by whoever starts next, once its lease has run out."""
        for task in (*self._examining, *self._telling):
            task.cancel()

    def _begin(self, database: DatabaseSettings, check: Check) -> None:
        # Nothing is sent with values that are known to be malformed.
        at_the_host = HOST_LAYERS if check.outcome.family is Family.CONFIGURATION else frozenset[Layer]()
        examining = asyncio.create_task(self._examine(database, BILLED_LAYERS | at_the_host))
        self._examining.add(examining)
        examining.add_done_callback(self._examining.discard)
        self._under_way[database.name] = _Diagnosing(task=examining, began=monotonic())

    async def _examine(self, database: DatabaseSettings, without: frozenset[Layer]) -> Diagnosis | None:
        # The tables of verdicts are read in with the first trouble, as the doctor is.
        from monitor.diagnosis.verdicts import Diagnosis, judge

        try:
            if self._examiner is None:
                self._examiner = asyncio.create_task(on_daemon_thread(self._make_examiner, name="doctor"))
            examiner = await asyncio.shield(self._examiner)
            examination = await examiner.examine(database, without=without, within=_EXAMINE_WITHIN)
            verdict = judge(examination.layers, service=self._service)
        except Exception as error:  # noqa: BLE001 - the top of a climb: the message goes without an opinion
            logger.opt(exception=error).error("asking the doctor about {} failed inside", database.name)
            return None
        logger.info("{}: the doctor says {}", database.name, verdict.code.value)
        return Diagnosis(layers=examination.layers, verdict=verdict)

    async def _tell(self, database: str, incident: int, held: timedelta) -> None:
        """Release the message of an incident, in the doctor's words if they are there in time."""
        examine_layers, diagnosis = self._under_way.pop(database, None), None
        if examine_layers is not None:
            await asyncio.wait({examine_layers.task}, timeout=held.total_seconds())
            diagnosis = examine_layers.task.result() if examine_layers.task.done() else None
        reword = partial(_in_words_of, diagnosis)
        await self._store_thread.run(self._store.release, incident, reword)
        self._on_release()

    def _known(self, database: str) -> _Diagnosing | None:
        """A climb that is under way, or done so lately that it still tells how things are."""
        examine_layers = self._under_way.get(database)
        if examine_layers is not None and monotonic() - examine_layers.began <= _GOOD_FOR_SECONDS:
            return examine_layers
        return None

    def _has_room(self) -> bool:
        return len(self._examining) < _MOST_AT_ONCE


def _in_words_of(diagnosis: Diagnosis | None, notification: Notification) -> Notification:
    if diagnosis is None:
        return notification
    from monitor.alerts.notification import with_diagnosis

    return with_diagnosis(notification, diagnosis)
