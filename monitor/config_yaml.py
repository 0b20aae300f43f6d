"""Strict YAML: plain mappings, lists and scalars with the line each stands on, or one mistake.

Aliases, tags and keys given twice are refused before anything is built, so a YAML bomb cannot go off.
What the values mean is decided in `config_file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SIZE_LIMIT_BYTES = 1024 * 1024
_DEPTH_LIMIT = 20
# libyaml reads a large file fifty times as fast; where it was not built in, the other does the same.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One mistake of the user's: where, what was wanted, what was found, what to do next."""

    place: str
    wanted: str
    found: str = ""
    next_step: str = ""
    line: int | None = None

    def __str__(self) -> str:
        line = f" (line {self.line})" if self.line else ""
        found = f", found {self.found}" if self.found else ""
        next_step = f". Next: {self.next_step}" if self.next_step else ""
        return f"{self.place}{line}: wanted {self.wanted}{found}{next_step}"


class ConfigMistakesError(Exception):
    """Everything that is wrong with the configuration, all at once."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("; ".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


@dataclass(kw_only=True, slots=True)
class Document:
    """The values of a file, and the line of each by its path."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path_, int] = field(default_factory=dict)


def read_document(path: Path) -> Document:
    """Read a file; raises `ConfigMistakesError` with the one thing that kept it from being read."""
    try:
        if path.stat().st_size > SIZE_LIMIT_BYTES:
            raise _refusal(path, "a file of at most 1 MiB", "a larger one")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _refusal(path, "a readable file", (error.strerror or "an error").lower()) from error
    except UnicodeDecodeError as error:
        raise _refusal(path, "text in UTF-8", "something else") from error
    try:
        root = _checked(path, text)
    except yaml.YAMLError as error:
        raise _not_yaml(path, error) from error
    if root is None:
        return Document()
    document = Document()
    values = _build(path, root, (), document)
    if values is None:
        return document
    if not isinstance(values, dict):
        raise _refusal(path, "keys such as `databases:` at the top", _say_kind(values))
    document.values = values
    return document


def _checked(path: Path, text: str) -> yaml.Node | None:
    """The one document of a text, after a look at its events for what is not allowed."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refusal(
                path, "plain values", "an anchor or alias (& or *)", "write the value out, or use defaults", line
            )
        if getattr(event, "tag", None):
            raise _refusal(path, "plain values", "a tag (!)", "leave the tag out", line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > _DEPTH_LIMIT or documents > 1:
            raise _refusal(path, "one document, not deeply nested", "more", line=line)
    node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    return node


def _build(path: Path, node: yaml.Node, place: Path_, document: Document) -> Any:
    document.lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return dict(_items(path, node, place, document))
    if isinstance(node, yaml.SequenceNode):
        return [_build(path, item, (*place, number), document) for number, item in enumerate(node.value)]
    try:
        return yaml.SafeLoader("").construct_object(node)
    except ValueError as error:  # such as 2026-99-99, which looks like a date
        line = node.start_mark.line + 1
        raise _refusal(
            path, "a value that can be read", "one that looks like a date", "put it in quotes", line
        ) from error


def _items(path: Path, node: yaml.MappingNode, place: Path_, document: Document) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise _refusal(path, "a word as a key", "a list or a mapping", line=line)
        key = str(key_node.value)
        if key in seen:
            raise _refusal(path, "each key once", f"{key!r} twice", "keep one of them", line)
        seen.add(key)
        yield key, _build(path, value_node, (*place, key), document)
        document.lines[*place, key] = line


def _refusal(
    path: Path, wanted: str, found: str, next_step: str = "", line: int | None = None
) -> ConfigMistakesError:
    return ConfigMistakesError(
        [Mistake(place=path.name, wanted=wanted, found=found, next_step=next_step, line=line)]
    )


def _not_yaml(path: Path, error: yaml.YAMLError) -> ConfigMistakesError:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else None
    return _refusal(path, "YAML", "something else", "check indentation, colons and quotes there", line)


def _say_kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a single value"
