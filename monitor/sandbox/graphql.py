"""As much GraphQL as a stand-in needs: an operation is read, its arguments filled in, its answer picked out.

What the fields are is known to whoever answers them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r'\s*(?:([{}()\[\]:,!=$])|("(?:[^"\\]|\\.)*")|(-?[0-9]+)|([A-Za-z_][A-Za-z0-9_]*))')
_LITERALS = {"true": True, "false": False, "null": None}


class SyntaxMistakeError(Exception):
    """The document is not GraphQL, or asks for what there is not; the text is what a server would say."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a selection: what it is called in the answer, its name, its arguments, and what is in it."""

    alias: str
    name: str
    arguments: Mapping[str, Any]
    selection: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A query or a mutation."""

    kind: str
    fields: tuple[Field, ...]


def read(document: str, variables: Mapping[str, Any]) -> Operation:
    """Read one operation; raises `SyntaxMistakeError`."""
    return _Reader(document, variables).operation()


def pick(value: Any, selection: tuple[Field, ...], kind: str) -> Any:
    """Of a value only what was selected, as a server would: it does not send what nobody asked for."""
    if isinstance(value, list):
        return [pick(item, selection, kind) for item in value]
    if not isinstance(value, dict) or not selection:
        return value
    picked = {}
    for field in selection:
        if field.name not in value:
            raise SyntaxMistakeError(f'Cannot query field "{field.name}" on type "{kind}".')
        found = value[field.name]
        picked[field.alias] = pick(
            found(field.arguments) if callable(found) else found, field.selection, field.name
        )
    return picked


class _Reader:
    def __init__(self, document: str, variables: Mapping[str, Any]) -> None:
        self._tokens = self._split(document)
        self._variables = variables
        self._at = 0

    def operation(self) -> Operation:
        kind = self._take() if self._next() in ("query", "mutation") else "query"
        if self._next() not in ("{", "("):
            self._take()  # the operation's name
        if self._next() == "(":
            while self._take() != ")":
                pass
        return Operation(kind=kind, fields=self._selection())

    def _selection(self) -> tuple[Field, ...]:
        self._expect("{")
        fields = []
        while self._next() != "}":
            fields.append(self._field())
        self._expect("}")
        return tuple(fields)

    def _field(self) -> Field:
        alias = name = self._take()
        if self._next() == ":":
            self._expect(":")
            name = self._take()
        arguments = {}
        if self._next() == "(":
            self._expect("(")
            while self._next() != ")":
                argument = self._take()
                self._expect(":")
                arguments[argument] = self._value()
            self._expect(")")
        selection = self._selection() if self._next() == "{" else ()
        return Field(alias=alias, name=name, arguments=arguments, selection=selection)

    def _value(self) -> Any:
        token = self._take()
        if token == "$":
            return self._variables.get(self._take())
        if token == "{":
            found = {}
            while self._next() != "}":
                name = self._take()
                self._expect(":")
                found[name] = self._value()
            self._expect("}")
            return found
        if token in _LITERALS:
            return _LITERALS[token]
        if token.startswith('"'):
            return token[1:-1]
        return int(token) if token.lstrip("-").isdigit() else token

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise SyntaxMistakeError("Syntax Error: Unexpected <EOF>.")
        return self._tokens[self._at]

    def _take(self) -> str:
        token = self._next()
        self._at += 1
        if self._at < len(self._tokens) and self._tokens[self._at] == ",":
            self._at += 1
        return token

    def _expect(self, wanted: str) -> None:
        if (found := self._take()) != wanted:
            raise SyntaxMistakeError(f'Syntax Error: Expected "{wanted}", found "{found}".')

    @staticmethod
    def _split(document: str) -> list[str]:
        tokens, at = [], 0
        document = document.rstrip()
        while at < len(document):
            match = _TOKEN.match(document, at)
            if match is None:
                raise SyntaxMistakeError(f"Syntax Error: Unexpected character: {document[at]!r}.")
            tokens.append(next(part for part in match.groups() if part is not None))
            at = match.end()
        return tokens
