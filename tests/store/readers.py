"""What those who read the channels hear of each incident, held against what happened to it (design, 4.4 and 4.5).

Counted by channel and incident, whatever messages tell it: alone, inside a group, or as missed. By the end each
beginning that a reader is meant to hear, and each end, were heard; before that nothing is heard

- twice, except what had arrived when a kill came before that was noted: it may be repeated, in any form (4.4);
- as open when it is over, as begun after it was told as over, or as over by whoever never heard of it.

What the design lets a reader hear otherwise:

- What begins and ends before it was told is told once, as missed; and so is, after a day, an end, or where an open
  one of which there is news stands (4.4). Of news that wait together only the last is told (4.5).
- An incident that opens again within the time of flapping begins once more, under its number (4.1). An end and
  the beginning after it that wait together are told as that beginning alone, though no end was heard (4.5); the
  end alone is told before, where the beginning waits for its diagnosis.
- A channel hears of what its `only` and `severities` take, from when they do (4.5); one that is added, of what is
  open (issue 14). One that is removed hears nothing; when it comes back, of what is open and was not told to it,
  and the end of what it was told. Whoever reads a channel in its new place is told of what is open once more.
- A kill while the file cannot be written may take what only memory knew: that an incident opened again, and ended,
  before that was told. How it stands is told; what then begins once more may be told as opened (4.4).
- What arrived unnoted from a channel that is removed before it could be repeated: nobody knows whether it did.
- Who never heard of an incident hears that it is `unwatched` as both (4.2).
- A silence or maintenance delays all of this; a change of cause or a reminder inside may come to nothing (4.6).

A channel that refuses a message for good, while it takes others, may never hear it; no channel does here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from monitor.alerts.notification import EVERYTHING, Notification, NotificationKind, Routes
from monitor.alerts.retry_policy import STALE_AFTER, Delivery

_FOLLOWING = (NotificationKind.CHANGED, NotificationKind.REMINDER, NotificationKind.CLOSED)


class Heard(Enum):
    """What a reader believes of an incident."""

    NOTHING = "nothing"
    OPEN = "that it is open"
    OVER = "that it is over"


@dataclass
class Life:
    """What happened to an incident: `latest` is its last notification, `begun` how often it opened."""

    latest: Notification
    begun: int = 1
    updates: int = 0
    is_open: bool = True


@dataclass
class Known:
    """What a reader heard of an incident: of how many beginnings, up to which, and how much may be told again."""

    heard: Heard = Heard.NOTHING
    beginnings: int = 0
    begun: int = 0
    updates: int = 0
    may_repeat: int = 0
    was_away: bool = False
    is_uncertain: bool = False
    kinds: list[str] = field(default_factory=list)

    def hears(self, kind: NotificationKind, life: Life, *, is_over: bool, is_late: bool, is_lost: bool) -> bool:
        """Take in what a message tells; false where it should not have told that."""
        begun = life.begun - (is_over and life.is_open)
        is_begun_again = begun > max(1, self.beginnings)
        match kind:
            case NotificationKind.OPENED:
                is_right = self.heard is Heard.NOTHING or (is_lost and is_begun_again)
            case NotificationKind.ONGOING:
                is_right = self.heard is Heard.NOTHING or is_begun_again
            case NotificationKind.REOPENED:
                is_right = is_begun_again
            case NotificationKind.CHANGED | NotificationKind.REMINDER:
                is_right = self.heard is Heard.OPEN and self.updates < life.updates
            case NotificationKind.CLOSED:
                is_right = self.heard is Heard.OPEN
            case NotificationKind.UNWATCHED:
                is_right = self.heard is not Heard.OVER or is_begun_again
            case NotificationKind.MISSED:
                is_news = is_over or self.updates < life.updates
                is_right = self.heard is Heard.NOTHING or is_begun_again
                is_right = is_right or (self.heard is Heard.OPEN and is_late and is_news)
            case _:
                is_right = False
        is_beginning = kind not in _FOLLOWING and (self.heard is Heard.NOTHING or is_begun_again)
        self.beginnings += is_right and is_beginning
        self.updates += is_right and not is_beginning and not is_over
        self.heard, self.begun = Heard.OVER if is_over else Heard.OPEN, max(self.begun, begun)
        self.kinds.append(kind.value)
        return is_right


@dataclass
class Reader:
    """Who reads one channel: what he knows by incident, and up to which beginning of each he is meant to hear."""

    known: dict[int, Known] = field(default_factory=dict)
    due: dict[int, int] = field(default_factory=dict)


class Readers:
    """All who read the channels of a store. Tell it what happens, as it happens; ask at the end."""

    def __init__(self, channels: Sequence[str], routes: Routes | None = None) -> None:
        self.lives: dict[int, Life] = {}
        self._forgotten: dict[int, Life] = {}
        self._is_lost = False
        self._routes: Routes = routes or {}
        self._readers: dict[str, Reader] = {}
        self._channels: Sequence[str] = ()
        self.channels_are(channels)

    def happens(self, notifications: Iterable[Notification]) -> None:
        """What a check led to."""
        for one in notifications:
            match one.kind:
                case NotificationKind.OPENED:
                    assert one.incident is not None
                    assert one.incident not in self.lives.keys() | self._forgotten.keys(), (
                        "a number was given twice"
                    )
                    self.lives[one.incident] = Life(latest=one)
                case NotificationKind.REOPENED:
                    assert one.incident is not None
                    if one.incident in self._forgotten:
                        self.lives[one.incident] = self._forgotten.pop(one.incident)
                    life = self._life(one)
                    assert not life.is_open
                    life.is_open, life.begun = True, life.begun + 1
                case NotificationKind.CHANGED | NotificationKind.REMINDER:
                    life = self._life(one)
                    assert life.is_open
                    life.updates += 1
                case NotificationKind.CLOSED:
                    life = self._life(one)
                    assert life.is_open
                    life.is_open = False
                case _:
                    continue
            self._life(one).latest = one
            if one.kind in (NotificationKind.OPENED, NotificationKind.REOPENED, NotificationKind.CHANGED):
                self._are_meant_to_hear(one)

    def ends_unwatched(self, incident: int) -> None:
        """Its database is not configured any more."""
        assert self.lives[incident].is_open
        self.lives[incident].is_open = False

    def forgets(self, incident: int) -> None:
        """It is over and told, and its row is gone; its state may still know it, where the clock was set."""
        self._heard(incident)
        self._forgotten[incident] = self.lives.pop(incident)

    def memory_is_lost(self) -> None:
        """A kill came while the file could not be written."""
        for reader in self._readers.values():
            reader.due = dict.fromkeys(reader.due, 1)
        self._is_lost = True

    def channels_are(self, channels: Sequence[str]) -> None:
        """From a start on."""
        for name in set(self._channels) - set(channels):
            self._reader(name).due.clear()
            for known in self._reader(name).known.values():
                known.was_away = True
                known.is_uncertain = known.is_uncertain or known.may_repeat > 0
        self._channels = tuple(channels)
        for life in self.lives.values():
            if life.is_open:
                self._are_meant_to_hear(life.latest)

    def channel_is_elsewhere(self, channel: str) -> None:
        """From a start on its messages go to another place, which the same people may read."""
        for incident, life in self.lives.items():
            if life.is_open and channel in self._readers:
                self._readers[channel].known.setdefault(incident, Known()).may_repeat += 1

    def arrives(self, delivery: Delivery, now: datetime, *, is_noted: bool = True) -> None:
        """What the store delivers has reached its channel; a kill comes before that `is_noted`, or not."""
        reader = self._reader(delivery.channel)
        told = delivery.notification
        waited_a_day = any(now - message.ready_at >= STALE_AFTER for message in delivery.messages)
        found = []
        for one in told.includes or (told,):
            if one.incident is None:
                continue
            found.append(one.incident)
            life, known = self.lives[one.incident], reader.known.setdefault(one.incident, Known())
            what = f"{delivery.channel} is told of incident {one.incident}: {one.kind.value}, after {known.kinds}"
            is_over = one.until is not None
            assert is_over or life.is_open, f"{what}, which is over"
            assert not is_over or not life.is_open or life.begun > max(1, known.beginnings), (
                f"{what}, which is open"
            )
            is_late = waited_a_day or known.was_away or (one.until is not None and now - one.until >= STALE_AFTER)
            if not known.hears(one.kind, life, is_over=is_over, is_late=is_late, is_lost=self._is_lost):
                assert known.may_repeat, what
                known.may_repeat -= 1
            known.may_repeat += not is_noted
        covered = {message.notification.incident for message in delivery.messages} - {None}
        assert len(found) == len(covered), "an incident is told twice, or covered and not told"
        assert set(found) == covered

    def heard_all(self) -> None:
        """Nothing waits any more: each channel that is configured knows what it is meant to, and how it stands."""
        for incident in self.lives:
            self._heard(incident)

    def _heard(self, incident: int) -> None:
        life = self.lives[incident]
        for channel in self._channels:
            reader = self._reader(channel)
            known, due = reader.known.get(incident, Known()), reader.due.get(incident, 0)
            what = f"{channel} heard {known.kinds} of incident {incident}, which "
            if known.begun and not known.is_uncertain:
                stands = Heard.OPEN if life.is_open else Heard.OVER
                assert known.heard is stands, f"{what}is {'open' if life.is_open else 'over'}"
            # One that was away hears nothing of an end and the beginning after it, where it believes rightly.
            is_right = known.was_away and known.heard is Heard.OPEN and life.is_open
            assert known.begun >= due or is_right, f"{what}began {life.begun} times"

    def _are_meant_to_hear(self, one: Notification) -> None:
        assert one.incident is not None
        for name in self._channels:
            if self._routes.get(name, EVERYTHING).takes(one):
                self._reader(name).due[one.incident] = self.lives[one.incident].begun

    def _life(self, one: Notification) -> Life:
        assert one.incident is not None
        return self.lives[one.incident]

    def _reader(self, channel: str) -> Reader:
        return self._readers.setdefault(channel, Reader())
