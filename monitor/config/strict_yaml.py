"""Strict YAML: plain mappings, lists and scalars with the line of each, or what kept the file from being read.

Aliases and tags are refused before anything is built, so that a small file cannot become a huge value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from monitor.config.mistakes import ConfigMistakesError, Mistake, Mistakes, Place, is_word

SIZE_LIMIT_BYTES = 1024 * 1024
_DEPTH_LIMIT = 20
# libyaml reads a large file fifty times as fast; where it was not built in, the other does the same.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
# The contract has `{port: ${PORT:-}}`, where YAML would take the inner braces for a mapping of their own. While it
# reads, they are other characters. Within quotes there is no need to.
_REFERENCE = re.compile(r"\$\{\{[^{}\n\"']*\}\}|\$\{[^{}\n\"']*\}")
_STAND_INS = "\U0010fffc\U0010fffd"
_HIDE_BRACES = str.maketrans("{}", _STAND_INS)
_SHOW_BRACES = str.maketrans(_STAND_INS, "{}")
# YAML 1.1 also knows octal, base 60 and dates. Nobody means them here; they stay the text that was typed.
_WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,17}\.[0-9]{1,17}")
_PROBLEMS = {
    "mapping values are not allowed": "a second colon in the line",
    "cannot start any token": "a tab, or one of @ ` % at the beginning of a value",
    "unexpected end": "a quote or bracket that is not closed",
    "special characters": "a character that does not belong into text",
    "control characters": "a character that does not belong into text",
}


@dataclass(kw_only=True, slots=True)
class Document:
    """The values of a file; `mistakes` has the line of each, and what is wrong with its keys."""

    values: dict[str, Any] = field(default_factory=dict)
    mistakes: Mistakes = field(default_factory=Mistakes)


def read_document(path: Path) -> Document:
    """Read a file; raises `ConfigMistakesError` with the one thing that kept it from being read."""
    text = _text(path)
    try:
        root = _checked(path, _REFERENCE.sub(lambda found: found[0].translate(_HIDE_BRACES), text))
    except yaml.YAMLError as error:
        raise _not_yaml(path, error) from None  # its text quotes the file
    document = Document()
    values = None if root is None else _build(root, (), document.mistakes)
    if values is not None and not isinstance(values, dict):
        found = "a list" if isinstance(values, list) else "a single value"
        raise _refusal(path, "keys such as `databases:` at the top", found)
    document.values = values or {}
    return document


def write_values(values: dict[str, Any]) -> str:
    """The values as a person would write them into the file."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:  # not its size: a pipe or a device has none
            raw = file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(raw) > SIZE_LIMIT_BYTES:
        raise _refusal(path, "a file of at most 1 MiB", "a larger one")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refusal(path, "text in UTF-8", "something else") from None
    if any(stand_in in text for stand_in in _STAND_INS):
        raise _refusal(path, "text", "characters that belong to no script")
    return text


def _checked(path: Path, text: str) -> yaml.Node | None:
    """The one document of a text, once its events hold nothing that is not allowed."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            found, step = "an anchor or alias (& or *)", "put it in quotes, or write the value out"
            raise _refusal(path, "plain values", found, step, line)
        if getattr(event, "tag", None):
            raise _refusal(path, "plain values", "a tag (!)", "put it in quotes, or leave the tag out", line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > _DEPTH_LIMIT or documents > 1:
            raise _refusal(path, "one document, not deeply nested", "more", line=line)
    node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    return node


def _build(node: yaml.Node, place: Place, mistakes: Mistakes) -> Any:
    mistakes.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return dict(_items(node, place, mistakes))
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*place, number), mistakes) for number, item in enumerate(node.value)]
    return _scalar(node)


def _items(node: yaml.MappingNode, place: Place, mistakes: Mistakes) -> Iterator[tuple[str, Any]]:
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = str(key_node.value).translate(_SHOW_BRACES) if isinstance(key_node, yaml.ScalarNode) else ""
        here = (*place, key)
        if not isinstance(key_node, yaml.ScalarNode):
            mistakes.add(here, line=line, wanted="a word as a key", found="a list or a mapping")
        elif here in mistakes.lines:
            again = f"{key!r} again" if is_word(key) else "the same again"
            mistakes.add(here, line=line, wanted="each key once", found=again, next_step="keep one of them")
        else:
            mistakes.lines[here] = line
            yield key, _build(value_node, here, mistakes)


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value.translate(_SHOW_BRACES)
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return yaml.SafeLoader.bool_values[text.lower()]
        case "int" if _WHOLE_NUMBER.fullmatch(text):
            return int(text)
        case "float" if _DECIMAL.fullmatch(text):
            return float(text)
    return text


def _refusal(
    path: Path, wanted: str, found: str, next_step: str = "", line: int | None = None
) -> ConfigMistakesError:
    return ConfigMistakesError(
        [Mistake(place=str(path), wanted=wanted, found=found, next_step=next_step, line=line)]
    )


def _unreadable(path: Path, error: OSError) -> ConfigMistakesError:
    if isinstance(error, FileNotFoundError):
        return _refusal(path, "a file", "none", "check its name; `upstash-monitor init` writes one")
    found = "a folder" if isinstance(error, IsADirectoryError) else (error.strerror or "an error").lower()
    step = "name a file by --config or MONITOR_CONFIG"
    if isinstance(error, PermissionError):
        step = f"make it this process's: chown {os.geteuid()} {path}; each folder above must let it through"
    return _refusal(path, "a file that can be read", found, step)


def _not_yaml(path: Path, error: yaml.YAMLError) -> ConfigMistakesError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", "") or getattr(error, "reason", ""))
    found = next((said for part, said in _PROBLEMS.items() if part in problem), "something else")
    line = mark.line + 1 if mark else None
    return _refusal(path, "YAML", found, "check indentation, colons and quotes there", line)
