"""The response cache: work is shared, responses are fresh for a moment, errors and old responses are not kept."""

from __future__ import annotations

import asyncio

import pytest

from monitor.web.cache import CachedResponse, ResponseCache, compress
from tests.program import LONGEST_WAIT_SECONDS


class Maker:
    """Makes responses once `may_finish` is set, and counts them; the entity tag is the number."""

    def __init__(self, size: int = 10) -> None:
        self.made = 0
        self.may_finish = asyncio.Event()
        self.running = self.most_running = 0
        self._size = size

    async def __call__(self) -> CachedResponse:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.may_finish.wait()
        self.running -= 1
        self.made += 1
        return CachedResponse(body=b"x" * self._size, gzipped=None, etag=str(self.made), content_type="text/plain")


def test_requests_for_the_same_key_share_the_work() -> None:
    """One response is made for all who ask meanwhile; a visitor who leaves does not cancel it for the others."""

    async def play() -> None:
        cache, maker = ResponseCache(clock=lambda: 0.0), Maker()
        visitors = [asyncio.create_task(cache.get("front", maker)) for _ in range(5)]
        await asyncio.sleep(0)
        visitors[0].cancel()
        maker.may_finish.set()
        responses = await asyncio.gather(*visitors[1:])
        assert maker.made == 1
        assert {response.etag for response in responses} == {"1"}

    asyncio.run(play())


def test_a_response_is_fresh_for_a_second() -> None:
    """Then it is made anew; another key has a response of its own."""

    async def play() -> None:
        now = 100.0
        cache, maker = ResponseCache(clock=lambda: now), Maker()
        maker.may_finish.set()
        assert [(await cache.get(key, maker)).etag for key in ("a", "a", "b", "a")] == ["1", "1", "2", "1"]
        now = 101.0
        assert (await cache.get("a", maker)).etag == "3"

    asyncio.run(play())


def test_a_response_that_took_long_to_make_is_fresh_for_longer() -> None:
    """Four times as long as it took, so that making it takes at most a fifth of the time."""

    async def play() -> None:
        now = 100.0
        cache, maker = ResponseCache(clock=lambda: now), Maker()
        waiting = asyncio.create_task(cache.get("a", maker))
        for _ in range(3):
            await asyncio.sleep(0)
        now = 102.0
        maker.may_finish.set()
        assert (await waiting).etag == "1"
        now = 109.9
        assert (await cache.get("a", maker)).etag == "1"
        now = 110.0
        assert (await cache.get("a", maker)).etag == "2"

    asyncio.run(play())


def test_while_a_response_is_made_anew_the_last_one_is_given() -> None:
    """Whoever asks first waits for the new one; nobody gets one that is older than fifteen seconds."""

    async def play() -> None:
        now = 100.0
        cache, maker = ResponseCache(clock=lambda: now), Maker()
        maker.may_finish.set()
        await cache.get("a", maker)
        maker.may_finish.clear()
        now = 102.0
        first = asyncio.create_task(cache.get("a", maker))
        await asyncio.sleep(0)
        assert (await cache.get("a", maker)).etag == "1"
        now = 115.0
        late = asyncio.create_task(cache.get("a", maker))
        await asyncio.sleep(0)
        assert not late.done()
        maker.may_finish.set()
        assert ((await first).etag, (await late).etag) == ("2", "2")

    asyncio.run(play())


def test_an_error_is_not_kept() -> None:
    """All who waited get it, and the next who asks tries again."""

    async def play() -> None:
        cache, maker = ResponseCache(clock=lambda: 0.0), Maker()
        maker.may_finish.set()

        async def fail() -> CachedResponse:
            raise OSError("the disk")

        for result in await asyncio.gather(*(cache.get("a", fail) for _ in range(3)), return_exceptions=True):
            assert isinstance(result, OSError)
        assert (await cache.get("a", maker)).etag == "1"

    asyncio.run(play())


def test_different_responses_are_made_one_after_the_other() -> None:
    """Ten visitors with ten different questions queue one read on the store's thread, not ten."""

    async def play() -> None:
        cache, maker = ResponseCache(clock=lambda: 0.0), Maker()
        visitors = [asyncio.create_task(cache.get(number, maker)) for number in range(10)]
        for _ in range(5):
            await asyncio.sleep(0)
        maker.may_finish.set()
        await asyncio.gather(*visitors)
        assert (maker.made, maker.most_running) == (10, 1)

    asyncio.run(play())


def test_a_response_that_does_not_come_is_given_up() -> None:
    """Those who wait for their turn are too, so that nothing piles up behind a disk that hangs."""

    async def play() -> None:
        cache, maker = ResponseCache(clock=lambda: 0.0, timeout_seconds=0.01), Maker()
        results = await asyncio.gather(*(cache.get(key, maker) for key in "ab"), return_exceptions=True)
        assert [type(result) for result in results] == [TimeoutError, TimeoutError]
        maker.may_finish.set()
        cache._timeout_seconds = LONGEST_WAIT_SECONDS  # a machine that is busy may take a moment for this one
        assert (await cache.get("a", maker)).etag == "1"

    asyncio.run(play())


def test_the_cache_has_a_limit() -> None:
    """However many different and large responses are made within a second."""

    async def play() -> None:
        cache, maker = ResponseCache(clock=lambda: 0.0), Maker(size=3 * 2**20)
        maker.may_finish.set()
        for number in range(20):
            await cache.get(number, maker)
        kept = sum(len(entry.response.body) for entry in cache._entries.values())
        assert kept <= 12 * 2**20

    asyncio.run(play())


@pytest.mark.parametrize(("body", "is_compressed"), [(b"short", False), (b"long " * 1000, True)])
def test_short_bodies_are_not_compressed(body: bytes, *, is_compressed: bool) -> None:
    """They would not be shorter; the entity tag changes with the body."""
    response = compress(body, "text/plain")
    assert (response.gzipped is not None) is is_compressed
    assert response.etag == compress(body, "text/plain").etag
    assert response.etag != compress(body + b"!", "text/plain").etag
