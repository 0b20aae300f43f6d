"""Text that may leave the process: without secrets or what looks like them, on one printable line.

A secret is found however it was escaped or encoded. Nobody knows how a text was written, so each reading of it is
one of many, to be searched and never to be shown.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

# What takes secrets out of a text: a `Scrubber`, where one is made of secrets.
Scrub = Callable[[str], str]
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# HTML's names of the characters that a secret, or what is around it, may have.
_ENTITIES = {
    name: character
    for character, names in {
        "&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos", "!": "excl", "#": "num", "$": "dollar",
        "%": "percnt", "(": "lpar", ")": "rpar", "*": "ast midast", "+": "plus", ",": "comma", "-": "dash hyphen",
        ".": "period", "/": "sol", ":": "colon", ";": "semi", "=": "equals", "?": "quest", "@": "commat",
        "[": "lsqb lbrack", "\\": "bsol", "]": "rsqb rbrack", "^": "hat", "_": "lowbar underbar", "`": "grave",
        "{": "lcub lbrace", "|": "verbar vert", "}": "rcub rbrace", "~": "tilde", " ": "nbsp", "\n": "newline",
        "\t": "tab",
    }.items()
    for name in names.split()
}  # fmt: skip
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
# One escape of a URL, of JSON, JavaScript, C or a repr, or of HTML. Of a run of backslashes, of `25` or of `amp;`
# there is one left when it was escaped more than once.
# And what nobody sees, which stands for nothing: once it is taken out for show, what was around it is one word.
_ESCAPE = re.compile(
    rf"""(?:{COLOUR.pattern}|[\0-\x08\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff])+|"""
    r"""%(?:25)*(?:[uU](?P<hex0>[0-9A-Fa-f]{4})|(?P<hex1>[0-9A-Fa-f]{2}))"""
    r"""|\\+(?:x(?P<hex2>[0-9A-Fa-f]{2})|u(?P<hex3>[0-9A-Fa-f]{4})|U(?P<hex4>[0-9A-Fa-f]{8})"""
    r"""|[uxo]\{(?P<hex5>[0-9A-Fa-f]{1,6})\}|(?P<octal>[0-3][0-7]{2})|(?P<letter>[nrt/"']))?"""
    r"""|&(?:amp;)*(?:\#(?P<decimal>[0-9]{1,7});?|\#[xX](?P<hex6>[0-9A-Fa-f]{1,6});?"""
    rf"""|(?P<name>(?i:{"|".join(_ENTITIES)}));)"""
)
_HEX_GROUPS = tuple(name for name in _ESCAPE.groupindex if name.startswith("hex"))
# Quoted-printable, as mail has it: a character, or the end of a line that goes on, of which a space may be left.
_QUOTED = re.compile(r"=(?:([0-9A-Fa-f]{2})|\s+)")
# At least eight bytes side by side, in hex in groups of one size (`41:58`, `0x41, 0x58`, `4158 7430`) or as
# decimal numbers; and one byte of such a row.
_BETWEEN = r"[\s:;,.|-]{1,4}"
_HEX_ROW = re.compile(
    "|".join(
        rf"(?<![0-9A-Za-z])(?:0[xX])?[0-9A-Fa-f]{{{width}}}"
        rf"(?:{_BETWEEN}(?:0[xX])?[0-9A-Fa-f]{{{width}}}){{{8 // (width // 2) - 1},}}"
        for width in (2, 4, 8)
    )
)
_HEX_BYTE = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{2})")
_DECIMAL_ROW = re.compile(rf"(?<![0-9A-Za-z])[0-9]{{1,3}}(?:{_BETWEEN}[0-9]{{1,3}}){{7,}}")
_DECIMAL_BYTE = re.compile(r"([0-9]{1,3})")
# From where to where, and the character, or nothing, that takes the place.
_Change = tuple[int, int, str]
MASK = "***"
_GRAM = 8  # so many characters of a secret in a row are enough to give it away
_WRAPPING = " \t\r\n\v\f\u00a0\u200b\ufeff\"'`“”‘’«»"
_ASSIGNMENT = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\s*=\s*(.+)", re.DOTALL)
_BEARER = re.compile(r"bearer\s+(.+)", re.DOTALL | re.IGNORECASE)
_BOT_TOKEN = re.compile(r"(?:bot)?[0-9]+:(.{8,})", re.DOTALL)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[a-z]{1,15}")
_LEADING_WORDS = re.compile(r"\A/*(?:[a-z]{1,15}(?:/+|\Z))*")
_MOST_ESCAPED = 3  # JSON in JSON in a URL
# The two alphabets of base64 differ in these.
_ALIKE = str.maketrans({"-": "+", "_": "/"})
# Stands in every manual, and in many a value that was pasted into a wrong place.
_PUBLIC = (".upstash.io", ".upstash.com", "upstash_redis_rest_url", "upstash_redis_rest_token", "https://")
# Words of our own texts that people put into secrets as well (`my-database-token`): to hide them there would tell.
_OURS = re.compile(
    r"(?<![\w-])(?:upstash-monitor|databases?|passwords?|credentials?|connections?|connectivity|certificates?|variables?|commands?"
    r"|settings|environment|production|development|platform|incidents?|messages?|permissions?|telegram)(?![\w-])",
    re.IGNORECASE,
)
_ENCODED_BYTES = 512  # of a longer secret, such as a private key, more is not looked for in base64 and hex
_USER_INFORMATION = re.compile(r"(?<=://)[^\s@]*@")
_NAMED = re.compile(
    r"""((?:token|passw(?:or)?d|secret|api[-_]?key|authorization|credentials?)["']?\s*[=:]\s*["']?)"""
    r"""(?:(?:bearer|basic)\s+)?[^\s"',;&}]+""",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"\b(bearer|basic)\s+(?=\S*[0-9])\S{6,}", re.IGNORECASE)
# Letters and digits in one long word: a token, a key, an id. A database's host is worth keeping.
_LONG = re.compile(r"(?=[\w+/=-]*[0-9])(?=[\w+/=-]*[A-Za-z])[\w+/=-]{20,}+(?!\.upstash\.io\b)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A text, and from where to where each of its characters stands in the text that is there."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Reading:
        """The text as it is."""
        return cls(text=text, starts=range(len(text)), ends=range(1, len(text) + 1))


def unescaped(reading: Reading) -> Reading | None:
    """Each escape as what it stands for; `None` where there is none. The work grows with the text alone."""
    escapes = [(each.start(), each.end(), _character(each)) for each in _ESCAPE.finditer(reading.text)]
    return _replaced(reading, escapes) if escapes else None


def decoded(reading: Reading) -> Iterator[Reading]:
    """The text read as mail, and with what may be rows of bytes as characters, where there is such a thing."""
    found = _QUOTED.finditer(reading.text)
    if quoted := [(each.start(), each.end(), chr(int(each[1], 16)) if each[1] else "") for each in found]:
        yield _replaced(reading, quoted)
    for row, byte, base in ((_HEX_ROW, _HEX_BYTE, 16), (_DECIMAL_ROW, _DECIMAL_BYTE, 10)):
        numbers: list[_Change] = []
        for each in row.finditer(reading.text):
            done = each.start()
            for number in byte.finditer(reading.text, each.start(), each.end()):
                numbers += [(done, number.start(), ""), (*number.span(), chr(int(number[1], base)))]
                done = number.end()
        if numbers:
            yield _replaced(reading, numbers)


def _replaced(reading: Reading, changes: Iterable[_Change]) -> Reading:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for start, end, character in changes:
        parts += (reading.text[done:start], character)
        starts += reading.starts[done:start]
        ends += reading.ends[done:start]
        if character:
            starts.append(reading.starts[start])
            ends.append(reading.ends[end - 1])
        done = end
    return Reading(
        text="".join(parts) + reading.text[done:],
        starts=[*starts, *reading.starts[done:]],
        ends=[*ends, *reading.ends[done:]],
    )


def _character(match: re.Match[str]) -> str:
    groups = match.groupdict()
    digits = next((groups[name] for name in _HEX_GROUPS if groups[name]), None)
    if digits or groups["decimal"] or groups["octal"]:
        code = (
            int(digits, 16)
            if digits
            else int(groups["decimal"] or groups["octal"], 10 if groups["decimal"] else 8)
        )
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    if groups["name"]:
        return _ENTITIES[groups["name"].lower()]
    if not match[0].startswith("\\"):
        return ""
    letter = groups["letter"] or "\\"
    return _LETTERS.get(letter, letter)


class Scrubber:
    """A function `scrub(text) -> text` for a fixed set of secrets.

    Each secret becomes `***`, and so does any run of 8 of its characters or more, in any case: as it is, without
    the spaces and quotes around it, in full-width letters and their like, escaped for URLs, JSON, HTML, mail or by
    Python's repr, wholly or in part and up to three times over, and in base64, hex or as a row of bytes.
    One shorter than 8 is replaced only where it stands as a word of its own. An ordinary word such as `database`
    stays where it stands alone and is only part of a secret.
    Of a URL the password, path and query are secret; scheme, host and plain words in the path are not.
    Scrubbing twice changes nothing more. The work grows with the text, not with the number of secrets.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        grams: set[str] = set()
        words: set[str] = set()
        ordinary: set[str] = set()
        for piece in {piece for secret in secrets for piece in _pieces(secret)}:
            for form in _forms(piece):
                if _OURS.fullmatch(form):
                    ordinary.add(form)
                if len(form) < _GRAM:
                    words.add(form)
                for alike in _as_found(form):
                    grams.update(_grams(alike, every=1))
            if len(piece) >= _GRAM:
                for form in _encoded(piece):
                    # They are found whole; all runs of them would cost a fleet's monitor megabytes.
                    for alike in _as_found(form):
                        grams.update(_grams(alike, every=_GRAM))
        public = {gram for text in _PUBLIC for gram in _grams(text.translate(_ALIKE), every=1)}
        self._grams = frozenset(grams - public)
        self._ordinary = frozenset(ordinary)
        longest_first = sorted(words, key=len, reverse=True)
        alternatives = "|".join(re.escape(word) for word in longest_first)
        self._words = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)") if words else None

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced."""
        while True:
            cleaned = self._pass(text)
            if cleaned == text:
                return text
            # What stood on both sides of a secret may have become another one.
            text = cleaned

    def _pass(self, text: str) -> str:
        parts: list[str] = []
        done = 0
        spans = list(_merged(sorted(self._spans(text))))
        # With the space or stop beside it, which may be in the secret too.
        ours = [(found.start() - 1, found.end() + 1) for found in _OURS.finditer(text)] if spans else []
        for start, end in spans:
            if not self._is_whole(text[start:end]) and any(a <= start and end <= b for a, b in ours):
                continue
            parts += (text[done:start], MASK)
            done = end
        return "".join(parts) + text[done:]

    def _is_whole(self, text: str) -> bool:
        return any(secret in text.lower() for secret in self._ordinary)

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        # Each level is searched: an escape may begin with what stands before a secret, and end within it.
        level: Reading | None = Reading.of(text)
        for _ in range(_MOST_ESCAPED + 1):
            if level is None:
                return
            for reading in (level, *decoded(level)):
                for start, end in self._found(reading.text):
                    yield reading.starts[start], reading.ends[end - 1]
            level = unescaped(level)

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        folded = _folded(text)
        if self._words is not None:
            for match in self._words.finditer(folded):
                yield match.span()
        folded = folded.translate(_ALIKE)
        for start in range(len(folded) - _GRAM + 1):
            if folded[start : start + _GRAM] in self._grams:
                yield start, start + _GRAM


def _pieces(secret: str) -> Iterator[str]:
    """What is worth hiding of a secret: the value without wrapping, and the parts that are secret too."""
    core = secret.strip(_WRAPPING)
    url = _URL.fullmatch(core)
    if url is not None:
        yield from filter(None, _url_pieces(url.group(1), url.group(2)))
        return
    # A row of stars is a mask that somebody copied; hiding it would hide our own.
    if not core.strip("*"):
        return
    for wrapper in (_ASSIGNMENT, _BEARER):
        # The variable's name and the word Bearer are in every manual; the value may itself be wrapped.
        wrapped = wrapper.fullmatch(core)
        if wrapped is not None:
            yield from _pieces(wrapped.group(1))
            return
    yield core
    bot_token = _BOT_TOKEN.fullmatch(core)
    if bot_token is not None:
        yield bot_token.group(1)


def _url_pieces(authority: str, rest: str) -> Iterator[str]:
    user_info, at, _ = authority.rpartition("@")
    if at:
        yield user_info.partition(":")[2] or user_info
    path, mark, query = rest.partition("?")
    # Plain words in front, such as /services/ or /api/webhooks/, are in every manual and no secret.
    tail = _LEADING_WORDS.sub("", path)
    yield (tail + mark + query).strip("/?")
    yield tail.strip("/")
    for part in (*tail.split("/"), *re.split("[&=]", query)):
        if len(part) >= _GRAM and not _PLAIN_WORD.fullmatch(part) and not _OURS.fullmatch(part):
            yield part


def _forms(piece: str) -> set[str]:
    """The piece as it stands in a text that is unescaped and folded; most tokens have one form."""
    raw = piece.encode("utf-8", "surrogatepass")
    pairs = piece.encode("utf-16-le", "surrogatepass")
    # Escapes stand for characters, for the bytes of UTF-8, or for the halves of UTF-16.
    forms = {
        piece,
        raw.decode("latin-1"),
        "".join(chr(int.from_bytes(pairs[at : at + 2], "little")) for at in range(0, len(pairs), 2)),
    }
    for form in tuple(forms):
        # Where the secret itself holds what looks like an escape.
        plain = Reading.of(form)
        for _ in range(_MOST_ESCAPED):
            if (once_more := unescaped(plain)) is None:
                break
            plain = Reading.of(once_more.text)
            forms.add(plain.text)
    return {_folded(form) for form in forms}


def _encoded(piece: str) -> Iterator[str]:
    """The characters that stand in any base64 of a text that holds the piece, such as `user:piece`; and hex.

    Three bytes in front shift nothing, so there are three ways for it to lie. The edges, where its bits mix
    with its neighbours', are left out.
    """
    raw = piece.encode("utf-8", "surrogatepass")[:_ENCODED_BYTES]
    for shift in range(3):
        lead = (shift * 8 + 5) // 6
        sure = (shift + len(raw)) * 8 // 6
        yield _folded(base64.b64encode(bytes(shift) + raw).decode("ascii")[lead:sure])
    yield raw.hex()


def _as_found(form: str) -> Iterator[str]:
    """The form in one alphabet; where it has a plus, which a query writes for a space, that way too.

    A dash is no space: `T0ken-of-the-case` must not hide `of the` in every sentence.
    """
    yield form.translate(_ALIKE)
    if "+" in form:
        yield form.replace("+", " ").translate(_ALIKE)


def _grams(form: str, *, every: int) -> Iterator[str]:
    """Runs of the form from its beginning on, and the one at its end; none of a form that is shorter than one."""
    last = len(form) - _GRAM
    for start in (*range(0, last + 1, every), *((last,) if last >= 0 else ())):
        yield form[start : start + _GRAM]


def _folded(text: str) -> str:
    """The text in lower case and in plain letters where they are only drawn otherwise, each in its place."""
    if text.isascii():
        return text.lower()
    return "".join(
        plain if len(plain := unicodedata.normalize("NFKC", character).lower()) == 1 else character
        for character in text
    )


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join spans that touch, so that neighbours leave one mask."""
    open_start, open_end = 0, 0
    for start, end in spans:
        if start <= open_end and open_end:
            open_end = max(open_end, end)
            continue
        if open_end:
            yield open_start, open_end
        open_start, open_end = start, end
    if open_end:
        yield open_start, open_end


def one_line(text: str, limit: int) -> str:
    """The text on one printable line of at most `limit` characters; nothing in it steers a display."""
    plain = COLOUR.sub("", text)
    line = " ".join("".join(character if character.isprintable() else " " for character in plain).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def mask_credentials(text: str) -> str:
    """The text with what looks like a credential masked, though nobody knows it for one.

    That is: user and password in a URL, the value behind a telling name, any long word of letters and digits.
    Done before known secrets are scrubbed: one of them within a longer word would leave the rest of that.
    """
    text = _USER_INFORMATION.sub(f"{MASK}@", text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    text = _AUTHORIZATION.sub(rf"\1 {MASK}", text)
    return _LONG.sub(MASK, text)


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
