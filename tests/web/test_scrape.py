"""A scrape from the question to the text, in a loop that has other things to do."""

from __future__ import annotations

import asyncio
import threading

from monitor.store.rollups.model import Totals
from monitor.web.metrics.scrape import Scrape
from tests.web.figures import MISSED_CHECKS, TOTALS, expected
from tests.web.scrapers import read


def test_a_scrape_has_the_figures_of_this_moment() -> None:
    """Totals and missed checks are asked for each time; the header chooses the format."""
    missed = MISSED_CHECKS - 1

    async def totals() -> Totals:
        return TOTALS

    def missed_checks() -> int:
        nonlocal missed
        missed += 1
        return missed

    async def scrape_twice() -> tuple[tuple[bytes, str], tuple[bytes, str]]:
        scrape = Scrape(totals, missed_checks=missed_checks)
        return await scrape(""), await scrape("application/openmetrics-text")

    (first, kind), (second, other_kind) = asyncio.run(scrape_twice())
    assert read(first.decode()) == expected()
    assert kind.startswith("text/plain")
    counted = read(second.decode(), as_openmetrics=True)
    assert counted["upstash_monitor_missed_checks_total", frozenset()] == MISSED_CHECKS + 1
    assert other_kind.startswith("application/openmetrics-text")


def test_scrapes_take_turns_and_leave_the_loop_alone() -> None:
    """Ten at once read the totals one after the other, and no text is made on the loop's own thread."""
    readers = most = 0
    threads: set[int] = set()

    class Watched(dict[tuple[str, str], int]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            threads.add(threading.get_ident())
            return super().__iter__()

    async def totals() -> Totals:
        nonlocal readers, most
        readers += 1
        most = max(most, readers)
        await asyncio.sleep(0)
        readers -= 1
        return Totals(databases=(), notifications=Watched({("slack", "sent"): 1}), outbox_pending=0)

    async def scrape_often() -> list[tuple[bytes, str]]:
        scrape = Scrape(totals, missed_checks=lambda: 0)
        return await asyncio.gather(*(scrape("") for _ in range(10)))

    answers = asyncio.run(scrape_often())
    assert len(set(answers)) == 1
    assert most == 1
    assert threads
    assert threading.get_ident() not in threads


def test_a_reading_that_fails_leaves_the_way_free() -> None:
    """Whoever asks next is answered."""
    broken = [OSError("the disk")]

    async def totals() -> Totals:
        if broken:
            raise broken.pop()
        return TOTALS

    async def fail_and_scrape() -> tuple[bytes, str]:
        scrape = Scrape(totals, missed_checks=lambda: MISSED_CHECKS)
        [failed] = await asyncio.gather(scrape(""), return_exceptions=True)
        assert isinstance(failed, OSError)
        return await scrape("")

    body, _ = asyncio.run(fail_and_scrape())
    assert read(body.decode()) == expected()
