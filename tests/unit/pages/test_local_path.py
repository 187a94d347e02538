"""`at` never leads to another origin, nor back to our own pages."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from allocator.pages.local_path import HOME, local_path, page_url

BASE = "http://alice.localhost:8000/_atelier/start?at=x"
PIECES = [*"/\\?#%@:.&=_ a\t\r\n\0", "evil.example", "_atelier", "%2f", "%5C", "%09", "http", "ü", "\ud800"]
TRICKY = st.lists(st.sampled_from(PIECES)).map("".join)


def as_browsers_read(text: str) -> str:
    """What the URL standard does first: blanks at the ends and tabs and line ends go, `\\` is `/` before the query."""
    text = text.strip("".join(map(chr, range(33)))).translate({9: None, 10: None, 13: None})
    path, mark, rest = text.partition("?")
    return path.replace("\\", "/") + mark + rest


@pytest.mark.parametrize(
    "at",
    [
        "",
        "x",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/a\x00b",
        "/" + "a" * 5000,
        "/\ud800",
        "/_atelier",
        "/_atelier/start?at=/_atelier/start",
        "/./_atelier/desk",
        "/x/../_atelier/desk",
        "/%5fatelier/desk",
        "/x/%2e%2e/_atelier/",
        "///_atelier/",
    ],
)
def test_what_is_no_path_of_the_webui_becomes_home(at: str) -> None:
    assert local_path(at) == HOME


@pytest.mark.parametrize(
    "at",
    ["/", "/?__theme=dark", "/file=out/a.png", "/app#/queue", "/a%20b?c=d%26e&f=http://x", "/_atelier_of_mine", "/..a/b"],
)
def test_a_path_of_the_webui_is_kept(at: str) -> None:
    assert local_path(at) == at


def test_what_cannot_stand_in_a_header_is_encoded() -> None:
    assert local_path('/fi le/ü"<') == "/fi%20le/%C3%BC%22%3C"


@given(st.one_of(TRICKY, TRICKY.map("/".__add__), st.text()))
def test_no_text_leads_to_another_origin(text: str) -> None:
    path = local_path(text)
    read = as_browsers_read(path)
    assert path.isascii()
    assert path.isprintable()
    assert read.startswith("/")
    assert not read.startswith("//")
    assert urlsplit(urljoin(BASE, read)).netloc == "alice.localhost:8000"
    assert URL(BASE).join(URL(path, encoded=True)).host == "alice.localhost"
    assert local_path(path) == path


@given(TRICKY)
def test_our_page_finds_the_path_that_it_was_given(text: str) -> None:
    at = local_path(text)
    assert URL(page_url("start", at)).query["at"] == at
