"""The script of the demo: what goes wrong in which act, and which messages must arrive before the next one.

The program that is watched, and how the acts are shown, is known to `commands/demo` alone.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from monitor.sandbox.console import ConsoleStandIn, Database
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn, ReceivedMessage
from monitor.sandbox.railway import RailwayService, RailwayStandIn
from monitor.sandbox.status_page import VIRGINIA, StatusPageStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn

MAIN, CACHE, WORKER = "main", "cache", "worker"
SLACK, TELEGRAM = "slack", "telegram"
_WEATHER = random.Random()


@dataclass(kw_only=True)
class Stage:
    """Two databases, an inbox, and whom the doctor asks about main: status page, console, and Railway.

    `deployed_token` is what the program that watches main was given, and the worker that uses it.
    """

    main: UpstashStandIn
    cache: UpstashStandIn
    inbox: MessagingStandIn
    page: StatusPageStandIn
    console: ConsoleStandIn
    railway: RailwayStandIn
    entry: Database
    worker: RailwayService
    deployed_token: str

    @property
    def keys(self) -> dict[str, str]:
        """What opens the console and Railway, by the names that the doctor looks for."""
        return {
            "UPSTASH_EMAIL": self.console.email,
            "UPSTASH_API_KEY": self.console.api_key,
            "RAILWAY_TOKEN": self.railway.project_token,
        }

    def make_weather(self) -> None:
        """Answers take as long as they do from another town, and never quite the same."""
        self.main.delay_seconds = _WEATHER.triangular(0.012, 0.045, 0.020)
        self.cache.delay_seconds = _WEATHER.triangular(0.004, 0.015, 0.006)


@contextmanager
def staged(on_message: Callable[[ReceivedMessage], None]) -> Iterator[Stage]:
    """The stand-ins, listening on loopback until the end of the block.

    `on_message` is called from a thread of the inbox for each message that was taken.
    """
    with (
        UpstashStandIn(_new_token()) as main,
        UpstashStandIn(_new_token()) as cache,
        MessagingStandIn(on_message=on_message) as inbox,
        StatusPageStandIn() as page,
        ConsoleStandIn(email="you@example.com", api_key=_new_token()) as console,
        RailwayStandIn(project_token=_new_token(), account_token=_new_token()) as railway,
    ):
        stage = Stage(
            main=main,
            cache=cache,
            inbox=inbox,
            page=page,
            console=console,
            railway=railway,
            entry=console.add(main.address, rest_token=main.token),
            worker=railway.add(WORKER, UPSTASH_REDIS_REST_URL=main.url, UPSTASH_REDIS_REST_TOKEN=main.token),
            deployed_token=main.token,
        )
        stage.make_weather()
        yield stage


@dataclass(frozen=True, kw_only=True)
class Act:
    """`cue` happens at the beginning. Over when the `awaited` messages are there: service and last word.

    `share` is its part of the story's time, `event` what times are told from; `frame` is the service whose
    message is shown in full, and after it what the doctor finds, where `is_examined`.
    """

    title: str
    caption: str
    event: str
    share: float
    cue: Callable[[Stage], None] = lambda stage: None
    awaited: frozenset[tuple[str, str]] = frozenset()
    frame: str = SLACK
    is_deployment: bool = False
    is_examined: bool = False


def _new_token() -> str:
    return f"demo_{secrets.token_hex(16)}"


def _hang(stage: Stage) -> None:
    stage.main.fault = UpstashFault.HANG
    stage.page.post_incident("Redis databases do not answer", VIRGINIA)


def _answer(stage: Stage) -> None:
    stage.main.fault = UpstashFault.NONE
    stage.page.resolve()


def _reset_token_while_slack_is_down(stage: Stage) -> None:
    stage.inbox.slack_fault = MessagingFault.DOWN
    stage.main.token = stage.entry.rest_token = stage.entry.password = _new_token()


def _slack_is_back(stage: Stage) -> None:
    stage.inbox.slack_fault = MessagingFault.NONE


def _put_in_new_token(stage: Stage) -> None:
    stage.deployed_token = stage.main.token
    stage.worker.store({"UPSTASH_REDIS_REST_TOKEN": stage.deployed_token})
    stage.worker.deploy()


def _both(word: str) -> frozenset[tuple[str, str]]:
    return frozenset({(SLACK, word), (TELEGRAM, word)})


ACTS = (
    Act(
        title="All is well",
        caption="Each check is one PING over a fresh connection. Upstash does not bill it.",
        event="the start",
        share=0.12,
    ),
    Act(
        title="The host of main stops answering",
        caption="It takes connections and says nothing. One timeout wakes nobody; the next checks come sooner, "
        "and three of five open an incident. Meanwhile cache is looked at as punctually as before.",
        event="the host fell silent",
        share=0.27,
        cue=_hang,
        awaited=_both("opened"),
        is_examined=True,
    ),
    Act(
        title="main answers again",
        caption="Two fine checks in a row close the incident.",
        event="it was back",
        share=0.13,
        cue=_answer,
        awaited=_both("closed"),
    ),
    Act(
        title="The token is reset, and Slack is down as well",
        caption="Somebody pressed the button in the console; the variable still holds the old token. Telegram is "
        "told, Slack answers 503, and what Slack should have had waits in the outbox.",
        event="the token was reset",
        share=0.20,
        cue=_reset_token_while_slack_is_down,
        awaited=frozenset({(TELEGRAM, "opened")}),
        frame=TELEGRAM,
        is_examined=True,
    ),
    Act(
        title="Slack is back",
        caption="Nothing is lost: the outbox is tried again after 1 s, 2 s, 4 s, and so on.",
        event="Slack was back",
        share=0.12,
        cue=_slack_is_back,
        awaited=frozenset({(SLACK, "opened")}),
    ),
    Act(
        title="The new token is deployed",
        caption="The platform stops the program and starts it with the new variable, on the same history file.",
        event="the deployment began",
        share=0.16,
        cue=_put_in_new_token,
        awaited=_both("closed"),
        frame=TELEGRAM,
        is_deployment=True,
    ),
)
