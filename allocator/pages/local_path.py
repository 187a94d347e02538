"""Where a page may send the browser: a path of the same origin that belongs to the WebUI, and nothing else."""

import posixpath
import re
from urllib.parse import quote, unquote, urlencode

OURS = "/_atelier"
HOME = "/"
_MAX_LENGTH = 4096
_LOCAL = re.compile(r"/(?!/)[^\x00-\x1f\x7f\\]*")
"""Browsers read `\\` as `/` and drop tabs and line ends, so that `/\\evil` and `/<tab>/evil` name another host."""
_KEPT = "/?&=#%:@!$'()*+,;[]~"


def local_path(text: str) -> str:
    """`text`, percent-encoded, if it is a path of the WebUI; `HOME` for all else. Never leads to another origin."""
    if len(text) > _MAX_LENGTH or not _LOCAL.fullmatch(text):
        return HOME
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    seen = posixpath.normpath(unquote(path)).replace("//", "/")
    if seen == OURS or seen.startswith(OURS + "/"):
        return HOME
    try:
        return quote(text, safe=_KEPT)
    except UnicodeEncodeError:
        return HOME


def page_url(page: str, at: str = HOME) -> str:
    """The address of one of our pages, which goes on to `at` afterwards."""
    return f"{OURS}/{page}?{urlencode({'at': at})}"
