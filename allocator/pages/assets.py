"""Scripts, styles and pictures. Their address has the digest of them all in it, so that browsers keep them for ever."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aiohttp import web

PREFIX = "/_atelier/static"
FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Assets:
    """The files by name, read once. One digest for all of them: scripts import each other by relative names."""

    files: dict[str, bytes]

    @classmethod
    def load(cls, folder: Path = FOLDER) -> "Assets":
        return cls({path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _TYPES})

    @cached_property
    def digest(self) -> str:
        whole = hashlib.sha256()
        for name, content in self.files.items():
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
        return whole.hexdigest()[:16]

    def url(self, name: str) -> str:
        """The address of a file. Raises `KeyError` when there is none of that name."""
        self.files[name]
        return f"{PREFIX}/{self.digest}/{name}"

    async def serve(self, request: web.Request) -> web.Response:
        """A page of another version asks under another digest: it gets what there is, and nothing keeps it."""
        name = request.match_info["name"]
        if name not in self.files:
            raise web.HTTPNotFound
        current = request.match_info["digest"] == self.digest
        return web.Response(
            body=self.files[name],
            content_type=_TYPES[Path(name).suffix],
            charset="utf-8",
            headers={"Cache-Control": FOR_EVER if current else "no-cache"},
        )
