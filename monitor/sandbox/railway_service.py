"""One service of the Railway stand-in: variables, deployments, a log. The API over it is in `railway`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

_MASK = "*****"


@dataclass(kw_only=True)
class Deployment:
    """One deployment with the variables it was started with. It comes to its end after a moment."""

    id: str
    created_at: str
    variables: dict[str, str]
    ready_at: float
    ends: str = "SUCCESS"
    is_removed: bool = False

    @property
    def status(self) -> str:
        if self.is_removed:
            return "REMOVED"
        return self.ends if monotonic() >= self.ready_at else "BUILDING"

    def identity(self) -> dict[str, Any]:
        return {"id": self.id, "status": self.status, "createdAt": self.created_at}


@dataclass(kw_only=True)
class Service:
    """A service. `stored` variables reach it with the next redeploy; `staged` ones when a person deploys them.

    A value such as `${{NAME}}` refers to another variable of the service. What is in `sealed` is never shown; what
    the API has in its place is not documented: `sealed_as`, and without it nothing.
    `deploy_seconds`, `next_ends` and `is_rendered` (references are resolved in what is kept of it) are for
    deployments to come.
    """

    id: str
    name: str
    stored: dict[str, str] = field(default_factory=dict)
    staged: dict[str, str | None] = field(default_factory=dict)
    sealed: set[str] = field(default_factory=set)
    sealed_as: dict[str, str | None] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    deploy_seconds: float = 0.0
    next_ends: str = "SUCCESS"
    is_rendered: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def running(self) -> dict[str, str]:
        """What the worker has now."""
        self.settle()
        return next((one.variables for one in reversed(self.deployments) if one.status == "SUCCESS"), {})

    def identity(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name}

    def store(self, variables: Mapping[str, str]) -> None:
        """Set variables without deploying them."""
        with self._lock:
            self.stored.update(variables)

    def stage(self, **variables: str | None) -> None:
        """Change variables in the dashboard, where they wait for a person's deployment; `None` takes one away."""
        self.staged.update(variables)

    def deploy(self) -> None:
        """A person's deployment: with all that is staged, done at once."""
        for name, value in self.staged.items():
            if value is None:
                self.stored.pop(name, None)
            else:
                self.stored[name] = value
        self.staged.clear()
        self._begin(seconds=0.0, ends="SUCCESS")

    def redeploy(self) -> bool:
        """The API's redeployment: the present commit with the stored variables, ready after a moment."""
        self._begin(seconds=self.deploy_seconds, ends=self.next_ends)
        return True

    def shown(self, *, is_rendered: bool) -> dict[str, str | None]:
        """The variables as the API shows them: without the sealed ones, references resolved or not."""
        shown = {name: value for name, value in self.stored.items() if name not in self.sealed}
        rendered = {name: self._render(value) if is_rendered else value for name, value in shown.items()}
        return {**rendered, **self.sealed_as}

    def listed(self) -> list[dict[str, Any]]:
        """The variables as the environment lists them, values left out."""
        return [
            {"name": name, "serviceId": self.id, "isSealed": name in self.sealed, "references": []}
            for name in self.stored
        ]

    def patch(self, *, is_clear: bool) -> dict[str, Any]:
        """What is staged, in the shape of an environment's configuration."""
        return {
            "variables": {
                name: None if value is None else {"value": value if is_clear else _MASK}
                for name, value in self.staged.items()
            }
        }

    def _begin(self, *, seconds: float, ends: str) -> None:
        with self._lock:
            number = len(self.deployments)
            self.deployments.append(
                Deployment(
                    id=f"0e5b1f0c-{number:04d}-4ddd-8eee-{self.id[-12:]}",
                    created_at=f"2026-11-23T14:{number:02d}:00.000Z",
                    variables={
                        name: self._render(value) if self.is_rendered else value
                        for name, value in self.stored.items()
                    },
                    ready_at=monotonic() + seconds,
                    ends=ends,
                )
            )

    def settle(self) -> None:
        """When a deployment stands, Railway removes the one before it."""
        with self._lock:
            stands = [one for one in self.deployments if one.status == "SUCCESS"]
            for older in stands[:-1]:
                older.is_removed = True

    def _render(self, value: str) -> str:
        for name, other in self.stored.items():
            value = value.replace(f"${{{{{name}}}}}", other)
        return value
