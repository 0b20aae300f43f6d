"""What the doctor's diagnosis adds to the notification that opens an incident.

Imported with the first diagnosis: the rules of verdicts are no part of a check that finds nothing.
"""

from __future__ import annotations

from dataclasses import replace

from monitor.alerts.notification import Notification
from monitor.diagnosis.layers import Layer, LayerResults, LayerState
from monitor.diagnosis.rules import verdict_to_tell
from monitor.diagnosis.verdicts import Diagnosis

_SYMBOLS = {LayerState.PASSED: "✓", LayerState.FAILED: "✗", LayerState.SKIPPED: "–", LayerState.UNKNOWN: "?"}
_SHORT_WORDS = {
    Layer.HTTP: "HTTP",
    Layer.WORKER: "rediss://",
    Layer.STATUS_PAGE: "status page",
    Layer.CONSOLE: "console",
    Layer.PLATFORM: "Railway",
}


def with_diagnosis(notification: Notification, diagnosis: Diagnosis) -> Notification:
    """The notification with the layers in one line and, where it explains the cause, the verdict."""
    layers = _in_one_line(diagnosis.layers)
    if notification.by_canary:
        # For an alert the doctor writes nothing, so the layer that failed is not among those that it examined.
        layers += f" · {Layer.WRITING.words} {_SYMBOLS[LayerState.FAILED]}"
    notification = replace(notification, layers=layers)
    if notification.cause is None or notification.verdict is None:
        return notification
    found = verdict_to_tell(diagnosis, notification.cause, notification.verdict)
    return notification if found is None else replace(notification, verdict=found)


def _in_one_line(layers: LayerResults) -> str:
    """`configuration ✓ · lookup ✓ · token ✗`; what does not apply is left out."""
    return " · ".join(
        f"{_SHORT_WORDS.get(result.layer, result.layer.words)} {_SYMBOLS[result.state]}"
        for result in layers.layers
        if result.state in _SYMBOLS
    )
