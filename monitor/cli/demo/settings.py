"""What the demo's program is told: the settings that `run` would read from config.yaml in front of the stand-ins.

How fast the story goes is decided in `demo_play`, where the stand-ins come from in `sandbox/story`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from monitor.cli.demo.story import CACHE, MAIN, WORKER, Stage
from monitor.config.settings import Settings

HISTORY = "history.db"


def settings_for(stage: Stage, folder: Path, *, pace: float) -> Settings:
    """Intervals and timeouts go with `pace`; the counts of the rules are the ones out of the box."""
    inbox = stage.inbox
    return Settings.model_validate(
        {
            "databases": [
                {
                    "name": name,
                    "url": url,
                    "token": token,
                    "interval": timedelta(seconds=max(1.0, pace)),
                    "timeout": timedelta(seconds=round(max(0.5, pace), 1)),
                }
                for name, url, token in (
                    (MAIN, stage.main.url, stage.deployed_token),
                    (CACHE, stage.cache.url, stage.cache.token),
                )
            ],
            "alerts": {"confirm_interval": timedelta(seconds=pace / 2)},
            "channels": [
                {"type": "slack", "webhook_url": inbox.slack_url},
                {
                    "type": "telegram",
                    "bot_token": inbox.bot_token,
                    "chat_id": inbox.chat_id,
                    "api_url": inbox.telegram_api_url,
                },
            ],
            "connectivity": [stage.cache.address],
            # Everybody whom the doctor would ask, so that it asks nobody else.
            "doctor": {
                "service": WORKER,
                "worker_port": stage.main.port,
                "status_url": stage.page.url,
                "console_url": stage.console.url,
                "railway_url": stage.railway.url,
            },
            "history": {"path": str(folder / HISTORY)},
            "logs": {"level": "ERROR"},
        }
    )
