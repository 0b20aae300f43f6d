"""The doctor in the demo: climbs the ladder of main in front of the stand-ins, as the word `doctor` does.

When it is asked is decided in `sandbox/story`; how its finding is shown, in `demo_view`.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.ladder import Ladder, Rung
from monitor.core.verdict import Verdict
from monitor.core.verdicts import judge
from monitor.sandbox.story import MAIN, Stage
from monitor.settings import Settings
from monitor.wiring import now_utc
from monitor.wiring_doctor import build_examiner


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What the doctor found."""

    ladder: Ladder
    verdict: Verdict


async def examine(stage: Stage, settings: Settings) -> Examined:
    """Climb and judge; raises nothing. The worker's way is left out: TLS to a Redis is nothing a stand-in has."""
    examiner = build_examiner(settings, clock=now_utc, environ=stage.keys)
    database = next(database for database in settings.databases if database.name == MAIN)
    found = await examiner.examine(database, without=(Rung.WORKER,))
    return Examined(ladder=found.ladder, verdict=judge(found.ladder, service=settings.doctor.service))
