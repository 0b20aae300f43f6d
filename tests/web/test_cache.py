"""Answers that are kept: made once for many, fresh again after a second, never for longer than there is room."""

from __future__ import annotations

import asyncio

import pytest

from monitor.web.cache import Answer, Kept, pack


class Maker:
    """Makes answers when it is let, and counts them."""

    def __init__(self, size: int = 10) -> None:
        self.made = 0
        self.let = asyncio.Event()
        self.at_once = self.most_at_once = 0
        self._size = size

    async def __call__(self) -> Answer:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.let.wait()
        self.at_once -= 1
        self.made += 1
        return Answer(body=b"x" * self._size, packed=None, etag=str(self.made), content_type="text/plain")


def test_those_who_ask_while_it_is_made_wait_for_the_same_answer() -> None:
    """One is made; a visitor who leaves does not take it from the others."""

    async def play() -> None:
        kept, maker = Kept(clock=lambda: 0.0), Maker()
        visitors = [asyncio.create_task(kept.get("front", maker)) for _ in range(5)]
        await asyncio.sleep(0)
        visitors[0].cancel()
        maker.let.set()
        answers = await asyncio.gather(*visitors[1:])
        assert maker.made == 1
        assert {answer.etag for answer in answers} == {"1"}

    asyncio.run(play())


def test_those_who_waited_are_let_go_one_by_one() -> None:
    """A crowd that is served in one go would hold up the loop for as long as serving all of it takes."""

    async def play() -> None:
        kept, maker = Kept(clock=lambda: 0.0), Maker()
        waiting = [asyncio.create_task(kept.get("front", maker)) for _ in range(50)]
        await asyncio.sleep(0)
        maker.let.set()
        done = 0
        while done < len(waiting):
            await asyncio.sleep(0)
            now_done = sum(task.done() for task in waiting)
            assert now_done - done <= 2
            done = now_done

    asyncio.run(play())


def test_an_answer_lasts_a_second() -> None:
    """Then it is made anew, by the clock that was handed in; other questions have answers of their own."""

    async def play() -> None:
        now = 100.0
        kept, maker = Kept(clock=lambda: now), Maker()
        maker.let.set()
        assert [(await kept.get(query, maker)).etag for query in ("a", "a", "b", "a")] == [
            "1",
            "1",
            "2",
            "1",
        ]
        now = 101.0
        assert (await kept.get("a", maker)).etag == "3"

    asyncio.run(play())


def test_a_crowd_gets_the_last_answer_while_the_next_is_made() -> None:
    """Whoever asks first waits for the fresh one, the others wait for nothing; but nobody gets one that is old."""

    async def play() -> None:
        now = 100.0
        kept, maker = Kept(clock=lambda: now), Maker()
        maker.let.set()
        await kept.get("a", maker)
        now, maker.let = 110.0, asyncio.Event()
        first = asyncio.create_task(kept.get("a", maker))
        await asyncio.sleep(0)
        assert (await kept.get("a", maker)).etag == "1"
        now = 115.0
        late = asyncio.create_task(kept.get("a", maker))
        await asyncio.sleep(0)
        maker.let.set()
        assert ((await first).etag, (await late).etag) == ("2", "2")

    asyncio.run(play())


def test_what_takes_long_to_make_is_kept_longer() -> None:
    """Four times as long as it took, so that making it is never all that the loop does."""

    async def play() -> None:
        now = 100.0
        kept, maker = Kept(clock=lambda: now), Maker()
        waiting = asyncio.create_task(kept.get("a", maker))
        for _ in range(3):
            await asyncio.sleep(0)
        now = 102.0
        maker.let.set()
        assert (await waiting).etag == "1"
        now = 109.9
        assert (await kept.get("a", maker)).etag == "1"
        now = 110.0
        assert (await kept.get("a", maker)).etag == "2"

    asyncio.run(play())


def test_a_fault_is_not_kept() -> None:
    """All who waited learn of it, and the next who asks tries again."""

    async def play() -> None:
        kept, maker = Kept(clock=lambda: 0.0), Maker()
        maker.let.set()

        async def fail() -> Answer:
            raise OSError("the disk")

        for result in await asyncio.gather(*(kept.get("a", fail) for _ in range(3)), return_exceptions=True):
            assert isinstance(result, OSError)
        assert (await kept.get("a", maker)).etag == "1"

    asyncio.run(play())


def test_questions_that_all_differ_do_not_work_side_by_side() -> None:
    """Two at once; the rest waits, and the checks have the loop in between."""

    async def play() -> None:
        kept, maker = Kept(clock=lambda: 0.0), Maker()
        visitors = [asyncio.create_task(kept.get(number, maker)) for number in range(10)]
        for _ in range(5):
            await asyncio.sleep(0)
        maker.let.set()
        await asyncio.gather(*visitors)
        assert (maker.made, maker.most_at_once) == (10, 2)

    asyncio.run(play())


def test_what_is_kept_has_a_limit() -> None:
    """However many different questions of however large answers come within a second."""

    async def play() -> None:
        kept, maker = Kept(clock=lambda: 0.0), Maker(size=3 * 2**20)
        maker.let.set()
        for number in range(20):
            await kept.get(number, maker)
        held = sum(len(aging.answer.body) for aging in kept._answers.values())
        assert held <= 12 * 2**20

    asyncio.run(play())


@pytest.mark.parametrize(("text", "is_packed"), [("short", False), ("long " * 1000, True)])
def test_short_answers_are_not_packed(text: str, *, is_packed: bool) -> None:
    """They would not be shorter; the mark changes with the text."""
    answer = pack(text, "text/plain")
    assert (answer.packed is not None) is is_packed
    assert answer.etag == pack(text, "text/plain").etag
    assert answer.etag != pack(text + "!", "text/plain").etag
