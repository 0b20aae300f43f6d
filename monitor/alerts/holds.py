"""Why a message is held back, and until when. Rules only: times are handed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class HoldReason(Enum):
    """What a message waits for before its first try."""

    DIAGNOSIS = "diagnosis"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A message is not sent before `until`."""

    reason: HoldReason
    until: datetime
