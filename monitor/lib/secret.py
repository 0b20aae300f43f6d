"""A credential that cannot be printed by accident."""

from __future__ import annotations

import hashlib
import hmac


class Secret:
    """Holds a text. Its repr, str and format show nothing of it; `reveal` is the only way to it.

    Two secrets are equal when their texts are, compared in constant time.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def fingerprint(self) -> str:
        """The first 8 hexadecimal digits of its SHA-256: tells two values apart, and gives neither away.

        For people, who can make it of what they have: `printf %s "$TOKEN" | sha256sum`.
        """
        return hashlib.sha256(_bytes(self._value)).hexdigest()[:8]

    def is_same_as(self, text: str) -> bool:
        """True when the text is this very value, found out in constant time."""
        return hmac.compare_digest(_bytes(self._value), _bytes(text))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.is_same_as(other.reveal())

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
