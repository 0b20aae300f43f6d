"""The webhook's body as docs/webhook.md describes it, and templates: the one for PagerDuty makes its form."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from monitor.alerts.notification import Notification, NotificationKind
from monitor.alerts.retry_policy import DeliveryStatus
from monitor.alerts.text import NO_ORIGIN
from monitor.alerts.webhook import WebhookChannel, document, template_mistake
from monitor.config.load import read
from monitor.config.settings import WebhookSettings
from monitor.lib.text import Scrubber
from tests.alerts import conftest as made
from tests.alerts.conftest import CLOSED, LONG, OPENED, ORIGIN

GUIDE = (Path(__file__).parents[2] / "docs" / "webhook.md").read_text(encoding="utf-8")
ROUTING_KEY = "R0UT1NGkeyOfTheTests0123456789ab"
NOTIFICATIONS = {name: one for name, one in vars(made).items() if isinstance(one, Notification)}
HOSTILE = replace(OPENED, database='ma"in', detail="\\\"}, 'x': {{ 1 }} \u2028 </script>")


def _block(kind: str, number: int) -> str:
    found: list[str] = re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)
    return found[number]


@pytest.fixture
def pagerduty(tmp_path: Path) -> WebhookSettings:
    """The channel of the guide's last example, read as any file is."""
    file = tmp_path / "config.yaml"
    file.write_text(_block("yaml", 1), encoding="utf-8")
    [settings] = read(file, {"PAGERDUTY_ROUTING_KEY": ROUTING_KEY}).settings.channels
    assert isinstance(settings, WebhookSettings)
    return settings


@pytest.mark.parametrize("name", NOTIFICATIONS)
def test_the_body_is_as_its_schema_says(name: str) -> None:
    """Each kind, with and without a place; every field of the schema is there."""
    schema = json.loads(_block("json", 0))
    for origin in (NO_ORIGIN, ORIGIN):
        body = document(NOTIFICATIONS[name], (), origin)
        jsonschema.validate(body, schema)
        assert set(schema["properties"]) <= set(body)
    assert set(schema["properties"]["kind"]["enum"]) == {kind.value for kind in NotificationKind}


@pytest.mark.parametrize("name", [*NOTIFICATIONS, "HOSTILE"])
def test_pagerduty_gets_an_event_of_its_own_form(
    pagerduty: WebhookSettings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Events API v2: what is required is there, and what opened is resolved under the same key."""
    notification = HOSTILE if name == "HOSTILE" else NOTIFICATIONS[name]
    event = _sent(monkeypatch, pagerduty.template.reveal(), notification)
    assert event["routing_key"] == ROUTING_KEY
    assert event["event_action"] == ("resolve" if notification.until or name == "UNWATCHED" else "trigger")
    assert event.get("dedup_key") == (
        f"upstash-monitor/{notification.incident}" if notification.incident else None
    )
    payload = event["payload"]
    assert (payload["source"], payload["severity"]) == (
        notification.database or "upstash-monitor",
        notification.severity.value,
    )
    assert 0 < len(payload["summary"]) <= 1024


def test_an_event_that_opens_and_its_end_have_one_key(
    pagerduty: WebhookSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would be told that it is over."""
    events = [_sent(monkeypatch, pagerduty.template.reveal(), one) for one in (OPENED, CLOSED)]
    assert [each["event_action"] for each in events] == ["trigger", "resolve"]
    assert events[0]["dedup_key"] == events[1]["dedup_key"] == "upstash-monitor/12"


def test_the_key_in_a_template_is_a_secret(pagerduty: WebhookSettings, tmp_path: Path) -> None:
    """And the words around it are not: they are in every log."""
    settings = read(tmp_path / "config.yaml", {"PAGERDUTY_ROUTING_KEY": ROUTING_KEY}).settings
    scrub = Scrubber(settings.secrets())
    assert scrub(f"sent {ROUTING_KEY} and {ROUTING_KEY[:12]}") == "sent *** and ***"
    assert scrub("custom_details, severity, next_steps") == "custom_details, severity, next_steps"
    assert ROUTING_KEY not in settings.model_dump_json()
    assert pagerduty.severities == ("critical",)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ('{"text": {{ headline | tojson }}}', None),
        ("{{ headline | tojson }}", None),
        ('{"text": "{{ detail }}"}', "what it makes is no JSON, line 1: put `| tojson` behind each field"),
        ('{"text": {{ incident }}}', "what it makes is no JSON, line 1: put `| tojson` behind each field"),
        ('{"text": {{ hedline | tojson }}}', "there is no field 'hedline': did you mean headline?"),
        ('{"text": {{ headline | tojsn }}}', "No filter named 'tojsn'. (its line 1)"),
        ('{"text":\n{{ headline }', "unexpected '}' (its line 2)"),
        ("{{ 1 / 0 }}", "it cannot be filled in (ZeroDivisionError)"),
        ("{{ ''.__class__.__mro__ }}", "it cannot be filled in (SecurityError)"),
        ("{{ 'x' * 300000 }}", "it makes more than 262144 characters"),
    ],
)
def test_a_template_is_filled_in_before_it_is_needed(template: str, said: str | None) -> None:
    """By `config check`, and by `run` at its start; what it makes of a notification is not read out."""
    assert template_mistake(template) == said
    result = WebhookChannel(name="webhook", url="http://127.0.0.1:9/", template=template).probe(LONG)
    assert (None if result is None else result.detail) == (None if said is None else f"check template: {said}")


def test_a_template_that_fails_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel is broken and the others are told; nothing is sent."""
    monkeypatch.setattr("monitor.alerts.webhook.ask", lambda *_args, **_options: pytest.fail("it was sent"))
    channel = WebhookChannel(name="webhook", url="http://127.0.0.1:9/", template="{{ nothing }}")
    result = channel.send(OPENED, timeout=LONG)
    assert (result.status, result.detail) == (
        DeliveryStatus.PERMANENT,
        "check template: 'nothing' is undefined",
    )


def _sent(monkeypatch: pytest.MonkeyPatch, template: str, notification: Notification) -> dict[str, Any]:
    """What would be posted."""
    posted: list[dict[str, Any]] = []

    def ask(_method: str, _url: str, *, json: dict[str, Any], timeout: object) -> Any:
        posted.append(json)
        raise ConnectionError

    monkeypatch.setattr("monitor.alerts.webhook.ask", ask)
    channel = WebhookChannel(name="webhook", url="http://127.0.0.1:9/", template=template, origin=ORIGIN)
    with pytest.raises(ConnectionError):
        channel.send(notification, timeout=LONG)
    return posted[0]
