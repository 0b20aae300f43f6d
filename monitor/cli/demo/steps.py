"""What happens in the demo: the stand-ins, the settings of the program that checks them, and the steps."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from monitor.config.settings import Settings
from monitor.sandbox.console import VIRGINIA, ConsoleStandIn, Database, StatusPageStandIn
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn, ReceivedMessage
from monitor.sandbox.railway import RailwayService, RailwayStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn

MAIN, CACHE, WORKER = "main", "cache", "worker"
SLACK, TELEGRAM = "slack", "telegram"
HISTORY = "history.db"


@dataclass(kw_only=True)
class StandIns:
    """Two databases, Slack and Telegram, and whom the doctor asks about main: status page, console, and Railway.

    `deployed_token` is what the program that checks main was given, and the worker that uses it.
    """

    main: UpstashStandIn
    cache: UpstashStandIn
    messaging: MessagingStandIn
    page: StatusPageStandIn
    console: ConsoleStandIn
    railway: RailwayStandIn
    entry: Database
    worker: RailwayService
    deployed_token: str

    @property
    def environ(self) -> dict[str, str]:
        """What opens the console and Railway, by the names that the doctor looks for."""
        return {
            "UPSTASH_EMAIL": self.console.email,
            "UPSTASH_API_KEY": self.console.api_key,
            "RAILWAY_TOKEN": self.railway.project_token,
        }

    def vary_latency(self) -> None:
        """Answers take as long as they do from another town, and never quite the same."""
        self.main.delay_seconds = random.triangular(0.012, 0.045, 0.020)
        self.cache.delay_seconds = random.triangular(0.004, 0.015, 0.006)


@contextmanager
def stand_ins(on_message: Callable[[ReceivedMessage], None]) -> Iterator[StandIns]:
    """The stand-ins, listening on loopback until the end of the block.

    `on_message` is called in another thread for each message that was taken.
    """
    with (
        UpstashStandIn(_new_token()) as main,
        UpstashStandIn(_new_token()) as cache,
        MessagingStandIn(on_message=on_message) as messaging,
        StatusPageStandIn() as page,
        ConsoleStandIn(email="you@example.com", api_key=_new_token()) as console,
        RailwayStandIn(project_token=_new_token(), account_token=_new_token()) as railway,
    ):
        made = StandIns(
            main=main,
            cache=cache,
            messaging=messaging,
            page=page,
            console=console,
            railway=railway,
            entry=console.add(main.address, rest_token=main.token),
            worker=railway.add(WORKER, UPSTASH_REDIS_REST_URL=main.url, UPSTASH_REDIS_REST_TOKEN=main.token),
            deployed_token=main.token,
        )
        made.vary_latency()
        yield made


def settings_for(made: StandIns, folder: Path, *, pace: float) -> Settings:
    """What `run` would read from config.yaml. Intervals and timeouts go with `pace`, and no rule takes time."""
    usual = {
        "interval": timedelta(seconds=max(1.0, pace)),
        "timeout": timedelta(seconds=round(max(1.0, pace), 1)),
    }
    telegram = {
        "bot_token": made.messaging.bot_token,
        "chat_id": made.messaging.chat_id,
        "api_url": made.messaging.telegram_api_url,
    }
    settings = Settings.model_validate(
        {
            "databases": [
                {"name": MAIN, "url": made.main.url, "token": made.deployed_token, **usual},
                {"name": CACHE, "url": made.cache.url, "token": made.cache.token, **usual},
            ],
            "alerts": {
                "confirm_interval": timedelta(seconds=pace / 2),
                "failing": {"failures": 3, "for": timedelta(0)},
                "flapping": {"within": timedelta(0)},
                "recovery": {"checks": 2, "for": timedelta(0)},
            },
            "channels": [
                {"type": SLACK, "webhook_url": made.messaging.slack_url},
                {"type": TELEGRAM, **telegram},
            ],
            "connectivity": [made.cache.address],
            # Everybody whom the doctor would ask, so that it asks nobody else.
            "doctor": {
                "service": WORKER,
                "worker_port": made.main.port,
                "status_url": made.page.url,
                "console_url": made.console.url,
                "railway_url": made.railway.url,
            },
            "history": {"path": str(folder / HISTORY)},
            "logs": {"level": "ERROR"},
        }
    )
    main, cache = settings.databases
    variables = (
        main.with_variables(url="UPSTASH_REDIS_REST_URL", token="UPSTASH_REDIS_REST_TOKEN"),  # noqa: S106 - names
        cache.with_variables(url="CACHE_REST_URL", token="CACHE_REST_TOKEN"),  # noqa: S106 - names
    )
    return settings.model_copy(update={"databases": variables})


@dataclass(frozen=True, kw_only=True)
class Step:
    """`change` happens at the beginning. Over when the `awaited` messages are there: service and last word.

    `share` is its part of the demo's time, `event` what times are counted from; `shown_in` is the service whose
    message is shown in full, and after it the doctor's diagnosis, where `is_diagnosed`.
    """

    title: str
    caption: str
    event: str
    share: float
    change: Callable[[StandIns], None] = lambda made: None
    awaited: frozenset[tuple[str, str]] = frozenset()
    shown_in: str = SLACK
    is_deployment: bool = False
    is_diagnosed: bool = False


def _new_token() -> str:
    return f"demo_{secrets.token_hex(16)}"


def _hang(made: StandIns) -> None:
    made.main.fault = UpstashFault.HANG
    made.page.post_incident("Redis databases do not answer", VIRGINIA)


def _answer(made: StandIns) -> None:
    made.main.fault = UpstashFault.NONE
    made.page.resolve()


def _rotate_token_while_slack_is_down(made: StandIns) -> None:
    made.messaging.slack_fault = MessagingFault.DOWN
    made.main.token = made.entry.rest_token = made.entry.password = _new_token()


def _bring_slack_back(made: StandIns) -> None:
    made.messaging.slack_fault = MessagingFault.NONE


def _deploy_new_token(made: StandIns) -> None:
    made.deployed_token = made.main.token
    made.worker.store({"UPSTASH_REDIS_REST_TOKEN": made.deployed_token})
    made.worker.deploy()


def _in_both(word: str) -> frozenset[tuple[str, str]]:
    return frozenset({(SLACK, word), (TELEGRAM, word)})


STEPS = (
    Step(
        title="Both databases answer",
        caption="Each check is one PING over a fresh connection. Upstash does not bill it.",
        event="the start",
        share=0.12,
    ),
    Step(
        title="The host of main stops answering",
        caption="It accepts connections and never answers. One timeout alerts nobody; the next checks come "
        "sooner, and three in a row open an incident. Meanwhile cache is checked as punctually as before.",
        event="the hang began",
        share=0.27,
        change=_hang,
        awaited=_in_both("opened"),
        is_diagnosed=True,
    ),
    Step(
        title="main answers again",
        caption="Two fine checks in a row close the incident.",
        event="it was back",
        share=0.13,
        change=_answer,
        awaited=_in_both("closed"),
    ),
    Step(
        title="The token is rotated, and Slack is down as well",
        caption="Somebody has reset the token in the console; the variable still holds the old one. The message "
        "reaches Telegram. Slack answers 503, and its message waits in the outbox.",
        event="the token was rotated",
        share=0.20,
        change=_rotate_token_while_slack_is_down,
        awaited=frozenset({(TELEGRAM, "opened")}),
        shown_in=TELEGRAM,
        is_diagnosed=True,
    ),
    Step(
        title="Slack is back",
        caption="Nothing is lost: a message in the outbox is tried again after 1 s, 2 s, 4 s, and so on.",
        event="Slack was back",
        share=0.12,
        change=_bring_slack_back,
        awaited=frozenset({(SLACK, "opened")}),
    ),
    Step(
        title="The new token is deployed",
        caption="The platform stops the program and starts it with the new variable, on the same history file.",
        event="the deployment began",
        share=0.16,
        change=_deploy_new_token,
        awaited=_in_both("closed"),
        shown_in=TELEGRAM,
        is_deployment=True,
    ),
)
