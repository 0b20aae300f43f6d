"""What the doctor's diagnosis adds to the notification that opens an incident.

Imported with the first diagnosis: the tables of verdicts are no part of a check that finds nothing.
"""

from __future__ import annotations

from dataclasses import replace

from monitor.alerts.notification import Notification
from monitor.checks.observation import Family, Outcome
from monitor.diagnosis.layers import Layer, LayerResults, LayerState
from monitor.diagnosis.verdicts import Diagnosis, VerdictCode

# These tell no more than the incident's own cause does.
_ADDS_NOTHING = (
    VerdictCode.AS_THE_OUTCOME_SAYS,
    VerdictCode.VARIABLE_MISSING,
    VerdictCode.VALUE_MALFORMED,
    VerdictCode.NOT_KNOWN,
    VerdictCode.ALL_GOOD,
    VerdictCode.SLOW,
)
# Only the canary finds these: the doctor does not write for an alert, but the console may know.
_ABOUT_LIMITS = (VerdictCode.SUSPENDED, VerdictCode.QUOTA_BEHIND_PING, VerdictCode.DATABASE_FULL)
_SYMBOLS = {LayerState.PASSED: "✓", LayerState.FAILED: "✗", LayerState.SKIPPED: "–", LayerState.UNKNOWN: "?"}
_SHORT_WORDS = {
    Layer.CONNECTION: "connection",
    Layer.HTTP: "HTTP",
    Layer.WORKER: "rediss://",
    Layer.STATUS_PAGE: "status page",
    Layer.CONSOLE: "console",
    Layer.PLATFORM: "Railway",
}


def with_diagnosis(notification: Notification, diagnosis: Diagnosis) -> Notification:
    """The notification with the layers in one line and, where it explains the cause, the verdict.

    Where the database was fine again by then, or failed in another way, the advice for the cause stays.
    """
    notification = replace(notification, layers=_in_one_line(diagnosis.layers))
    cause, verdict = notification.cause, diagnosis.verdict
    if cause is None or verdict.code in _ADDS_NOTHING or not _explains(diagnosis, cause):
        return notification
    return replace(notification, verdict=verdict.meaning, whose_move=verdict.whose_move, steps=verdict.next_steps)


def _explains(diagnosis: Diagnosis, cause: Outcome) -> bool:
    layers = diagnosis.layers
    outcome = layers.outcome() or layers.result_of(Layer.WORKER).outcome
    if outcome is not None:
        return outcome.family is cause.family
    return cause.family is Family.QUOTA and diagnosis.verdict.code in _ABOUT_LIMITS


def _in_one_line(layers: LayerResults) -> str:
    """`configuration ✓ · lookup ✓ · token ✗`; what does not apply is left out."""
    return " · ".join(
        f"{_SHORT_WORDS.get(result.layer, result.layer.words)} {_SYMBOLS[result.state]}"
        for result in layers.layers
        if result.state in _SYMBOLS
    )
