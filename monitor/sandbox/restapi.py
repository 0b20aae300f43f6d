"""The dialect of Upstash's REST API: how commands stand in a request, and what a reply looks like.

Running commands is done in `keyspace`, listening and faults in `upstash`. What is documented is followed
(upstash.com/docs/redis/features/restapi); where the documents are silent, the wording is our own.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from monitor.sandbox.keyspace import Value
from monitor.sandbox.listener import Reply, Request

METHODS = ("HEAD", "GET", "POST", "PUT")


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A command that was refused or went wrong; the text is what the database says."""

    text: str


class MalformedError(Exception):
    """A request from which no command can be read; the text is for the answer's `error`."""


class Call:
    """One request as Upstash reads it: whose it is, its commands, and the form in which the answer is wanted."""

    def __init__(self, request: Request) -> None:
        self._method = request.method
        self._target = urlsplit(request.target)
        self._headers = request.headers
        self._body = request.body

    @property
    def is_pipeline(self) -> bool:
        return self._target.path == "/pipeline"

    @property
    def is_transaction(self) -> bool:
        return self._target.path == "/multi-exec"

    @property
    def token(self) -> str | None:
        """From the header, or from `_token` in the URL."""
        scheme, _, token = self._headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        return dict(self._query()).get("_token")

    def commands(self) -> list[list[str]]:
        """The commands, one or many; raises `MalformedError`."""
        if self.is_pipeline or self.is_transaction:
            rows = self._json()
            if not isinstance(rows, list):
                raise MalformedError("ERR wanted an array of commands")
            return [_words(row) for row in rows]
        if self._target.path in ("", "/") and self._method in ("POST", "PUT"):
            return [_words(self._json())]
        words = [unquote(word) for word in self._target.path.strip("/").split("/")]
        if self._method in ("POST", "PUT") and self._body:
            words.append(self._body.decode("utf-8", "replace"))
        # What follows a value in the body stands in the query: /set/foo?EX=100.
        for name, value in self._query():
            if name != "_token":
                words += [name, value] if value else [name]
        return [words]

    def reply(self, results: list[Value | Failed]) -> Reply:
        """Many results for many commands, one for one; only the latter's failure is a 400."""
        if self.is_pipeline or self.is_transaction:
            if self._format == "resp2" and self.is_pipeline:
                return _binary(200, b"".join(map(_resp2, results)))
            return _json(200, [self._shown(result) for result in results])
        status = 400 if isinstance(results[0], Failed) else 200
        if self._format == "resp2":
            return _binary(status, _resp2(results[0]))
        return _json(status, self._shown(results[0]))

    def check_format(self) -> None:
        """Raise `MalformedError` for a form of reply that there is not."""
        if self._format not in ("json", "resp2"):
            raise MalformedError("ERR wanted the response format json or resp2")
        if self._format == "resp2" and self._is_encoded:
            raise MalformedError("ERR base64 encoding is not possible with the response format resp2")

    @property
    def _format(self) -> str:
        return self._headers.get("upstash-response-format", "json").lower()

    @property
    def _is_encoded(self) -> bool:
        return self._headers.get("upstash-encoding", "").lower() == "base64"

    def _query(self) -> list[tuple[str, str]]:
        return parse_qsl(self._target.query, keep_blank_values=True)

    def _json(self) -> Any:
        try:
            return json.loads(self._body)
        except (ValueError, RecursionError):
            raise MalformedError("ERR failed to parse the request body as JSON") from None

    def _shown(self, result: Value | Failed) -> dict[str, Any]:
        if isinstance(result, Failed):
            return {"error": result.text}
        return {"result": _encoded(result) if self._is_encoded else result}


def error(status: int, text: str) -> Reply:
    """The shape of everything that went wrong."""
    return _json(status, {"error": text})


def _words(row: Any) -> list[str]:
    if not isinstance(row, list) or not row or not all(isinstance(word, str | int | float) for word in row):
        raise MalformedError("ERR wanted a command as an array of strings and numbers")
    return [word if isinstance(word, str) else json.dumps(word) for word in row]


def _encoded(value: Value) -> Value:
    """Upstash encodes every string of a result but the plain OK."""
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if isinstance(value, str) and value != "OK":
        return base64.b64encode(value.encode()).decode()
    return value


def _resp2(result: Value | Failed) -> bytes:
    match result:
        case Failed():
            return f"-{result.text}\r\n".encode()
        case None:
            return b"$-1\r\n"
        case int():
            return f":{result}\r\n".encode()
        case str():
            raw = result.encode()
            return b"+OK\r\n" if result == "OK" else b"$%d\r\n%b\r\n" % (len(raw), raw)
        case list():
            return b"*%d\r\n%b" % (len(result), b"".join(map(_resp2, result)))


def _json(status: int, value: Any) -> Reply:
    return Reply(status=status, body=json.dumps(value, separators=(",", ":")).encode())


def _binary(status: int, body: bytes) -> Reply:
    return Reply(status=status, body=body, kind="application/octet-stream")
