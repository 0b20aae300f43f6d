"""How often a password may be tried: a person who mistypes is not held up, a program that guesses is."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_NETWORKS = 1024
_LOG_EVERY_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pace:
    """So many wrong ones at once, and then one each so many seconds."""

    burst: int
    seconds: float

    def wait(self, paid_until: float, now: float) -> float:
        """Seconds until the next may be tried. `paid_until` is when all wrong ones so far have been waited for."""
        return max(0.0, paid_until - now - (self.burst - 1) * self.seconds)

    def after_wrong(self, paid_until: float, now: float) -> float:
        return max(paid_until, now) + self.seconds


_OF_ONE = _Pace(burst=50, seconds=6.0)
_OF_ALL = _Pace(burst=200, seconds=0.2)


class Guesses:
    """Counts wrong passwords by network and in all; times are handed in, in seconds of a monotonic clock.

    At most 1,024 networks are remembered. Those that have guessed wrong share one pace, and those that have not
    another: whoever knows the password is not held up by a crowd that does not.
    """

    def __init__(self) -> None:
        # By network, the last one to guess wrong at the end: until when its guesses are paid, how many there were.
        self._networks: dict[str, tuple[float, int]] = {}
        self._paid_until = {True: 0.0, False: 0.0}  # of networks that are remembered, and of others
        self._logged_at: float | None = None

    def wait(self, network: str, now: float) -> float:
        """Seconds until a password from there is looked at; zero: now."""
        paid_until, _ = self._networks.get(network, (0.0, 0))
        return max(_OF_ONE.wait(paid_until, now), _OF_ALL.wait(self._paid_until[network in self._networks], now))

    def wrong(self, network: str, now: float) -> None:
        """A password from there was looked at, and wrong."""
        is_known = network in self._networks
        self._paid_until[is_known] = _OF_ALL.after_wrong(self._paid_until[is_known], now)
        paid_until, count = self._networks.pop(network, (0.0, 0))
        if paid_until <= now:
            count = 0
        self._networks[network] = _OF_ONE.after_wrong(paid_until, now), count + 1
        if len(self._networks) > _MOST_NETWORKS:
            del self._networks[next(iter(self._networks))]

    def refused(self, network: str, now: float) -> str | None:
        """A password from there was not looked at; returns a line for the log, once in a while."""
        paid_until, count = self._networks.get(network, (now, 0))
        if network in self._networks:
            self._networks[network] = paid_until, count + 1
        if self._logged_at is not None and now - self._logged_at < _LOG_EVERY_SECONDS:
            return None
        self._logged_at = now
        others = len(self._networks) - (network in self._networks)
        return (
            f"somebody guesses the page's password: {count + 1} tries from {network or 'an unknown address'}"
            f"{f', and some from {others} more' if others else ''}; they are slowed down"
        )
