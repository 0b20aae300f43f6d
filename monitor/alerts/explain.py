"""What the doctor's diagnosis adds to the notification that opens an incident.

Imported with the first diagnosis: the rules of verdicts are no part of a check that finds nothing.
"""

from __future__ import annotations

from dataclasses import replace

from monitor.alerts.notification import Notification
from monitor.diagnosis.rules import verdict_to_tell
from monitor.diagnosis.verdicts import Diagnosis, Layer, LayerResults, LayerState

_STATES = {LayerState.FAILED: "did not pass", LayerState.SKIPPED: "not tried", LayerState.UNKNOWN: "not known"}
_SHORT_WORDS = {
    Layer.HTTP: "HTTP",
    Layer.WORKER: "rediss://",
    Layer.STATUS_PAGE: "status page",
    Layer.CONSOLE: "console",
    Layer.PLATFORM: "Railway",
}


def with_diagnosis(notification: Notification, diagnosis: Diagnosis) -> Notification:
    """The notification with the layers that did not pass and, where it explains the cause, the verdict."""
    # For an alert the doctor writes nothing, so the layer that failed is not among those that it examined.
    more_failed = (Layer.WRITING,) if notification.by_canary else ()
    notification = replace(notification, layers=_in_one_line(diagnosis.layers, more_failed))
    if notification.cause is None or notification.verdict is None:
        return notification
    found = verdict_to_tell(diagnosis, notification.cause, notification.verdict)
    return notification if found is None else replace(notification, verdict=found)


def _in_one_line(layers: LayerResults, more_failed: tuple[Layer, ...]) -> str:
    """`did not pass: token · not tried: PING`; empty where all did, or do not apply."""
    groups = []
    for state, words in _STATES.items():
        found = [result.layer for result in layers.layers if result.state is state]
        found += more_failed if state is LayerState.FAILED else ()
        names = ", ".join(_SHORT_WORDS.get(layer, layer.words) for layer in found)
        groups.append(f"{words}: {names}" if names else "")
    return " · ".join(filter(None, groups))
