"""What a client's headers ask for: compressed or plain, and nothing that it has already."""

from __future__ import annotations

import pytest

from monitor.web.cache import is_known, prefers_gzip
from tests.web.conftest import Site


@pytest.mark.parametrize(
    ("accept", "is_gzipped"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, x-gzip", True),
        ("*", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0.001", True),
        ("gzip; q=0.5, identity; q=0.1", True),
        ("identity;q=0, gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=x", False),
        ("gzip;q=0.2, identity;q=0.9", False),
        ("notgzip", False),
    ],
)
def test_gzip_is_sent_to_who_wants_it(site: Site, accept: str, is_gzipped: bool) -> None:
    """By the qualities of RFC 9110; over HTTP too, where the answer may be stored by others."""
    assert prefers_gzip(accept) is is_gzipped
    answer = site.ask("/", Accept_Encoding=accept)
    assert (answer.headers.get("content-encoding") == "gzip") is is_gzipped
    assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("if_none_match", "known"),
    [
        ('W/"abc"', True),
        ('"abc"', True),
        ('"x", W/"abc" , "y"', True),
        ("*", True),
        ("", False),
        ("abc", False),
        ('"abcd"', False),
        ('W/"ab"', False),
    ],
)
def test_an_entity_tag_is_found_in_a_list(if_none_match: str, known: bool) -> None:
    """Compared weakly: a client may drop or add the mark."""
    assert is_known('W/"abc"', if_none_match) is known


def test_a_page_that_is_known_is_not_sent_again(site: Site) -> None:
    """Neither to GET nor to HEAD; a range is not cut out, the whole page is sent."""
    etag = site.ask("/").headers["etag"]
    for method in ("GET", "HEAD"):
        answer = site.ask("/", method, If_None_Match=f'"other", {etag}')
        assert (answer.status, answer.body) == (304, b"")
    assert site.ask("/", Range="bytes=0-9").status == 200
