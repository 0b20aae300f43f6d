"""What stands in the project's Dockerfile, for tests that do its steps without a container."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from tests.program import ROOT

PATH = ROOT / "contrib" / "docker" / "Dockerfile"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One `FROM` with the instructions after it, in order: their name and the text that follows it."""

    image: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The texts of all instructions of a name."""
        return [text for instruction, text in self.steps if instruction == name]

    def words(self, name: str) -> list[str]:
        """The last instruction of a name in exec form; of a healthcheck, its command. Raises for shell form."""
        text = self.all(name)[-1]
        words: list[str] = json.loads(text[text.index("CMD") + 3 :] if name == "HEALTHCHECK" else text)
        return words

    def environ(self) -> dict[str, str]:
        """Everything that `ENV` sets."""
        return dict(pair.split("=", 1) for text in self.all("ENV") for pair in text.split())


def stages() -> list[Stage]:
    """The stages of the Dockerfile, without comments, each instruction in one line."""
    text = re.sub(r"^#.*\n", "", PATH.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append(Stage(image=rest))
        elif name:
            found[-1].steps.append((name, rest))
    return found
