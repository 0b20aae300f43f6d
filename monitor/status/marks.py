"""A shape for each family of failures, so that nobody has to tell them by their colour. Pure drawing."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from monitor.core.observation import Family, Outcome
from monitor.status.svg import percent, tag

# Around the origin, five units to each side.
_SHAPES = {
    Family.CONFIGURATION: "M-4.4-4.4h8.8v8.8h-8.8z",
    Family.TOKEN: "M0-5.6 5.6 0 0 5.6-5.6 0z",
    Family.QUOTA: "M0-5.2 5.4 4.6H-5.4z",
    Family.NETWORK: "M-3.1-5.2 0-2.1 3.1-5.2 5.2-3.1 2.1 0 5.2 3.1 3.1 5.2 0 2.1-3.1 5.2-5.2 3.1-2.1 0-5.2-3.1z",
    Family.SERVICE: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0",
}


def worst_outcome(outcomes: Mapping[Outcome, int]) -> Outcome | None:
    """The failing outcome that came most often, `None` where nothing failed."""
    failing = [(count, outcome.value, outcome) for outcome, count in outcomes.items() if outcome.family.is_failing]
    return max(failing)[2] if failing else None


def mark(outcome: Outcome, *, across: float, y: float) -> Markup:
    """The mark of an outcome's family at a place of a chart."""
    return tag("svg", _shape(outcome), x=percent(across), y=y, overflow="visible", width=1, height=1)


def legend_mark(outcome: Outcome) -> Markup:
    """The same mark beside a word, which says it to those who hear the page."""
    return tag(
        "svg", _shape(outcome), class_="mark", viewBox="-7 -7 14 14", width=14, height=14, aria_hidden="true"
    )


def _shape(outcome: Outcome) -> Markup:
    family = outcome.family
    return tag("path", class_=f"family-{family.value}", d=_SHAPES.get(family, _SHAPES[Family.SERVICE]))
