"""What GameServers share on this machine: GPUs and ports."""

import asyncio
import os
import random
import re
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

PORTS = range(20000, 32768)
"""Below Linux' ephemeral ports, so that no outgoing connection takes one between the choice and the WebUI's bind."""
_NVIDIA = Path("/proc/driver/nvidia/gpus")


def nvidia_gpus(folder: Path = _NVIDIA, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The NVIDIA GPUs to hand out, as CUDA_VISIBLE_DEVICES takes them: those that it names when it is set, else the UUIDs
    of all, from the driver, without starting nvidia-smi.

    MIG slices are not listed: a GPU cut into slices counts as one, unless CUDA_VISIBLE_DEVICES names the slices.
    """
    if (visible := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(gpu.strip() for gpu in visible.split(",") if gpu.strip() not in {"", "-1"})
    if not folder.is_dir():
        return ()
    texts = [(gpu / "information").read_text() for gpu in sorted(folder.iterdir())]
    return tuple(match[1] for text in texts if (match := re.search(r"^GPU UUID:\s*(GPU-\S+)$", text, re.MULTILINE)))


class Gpus:
    """Hands out one GPU at a time, to whoever waits longest. Without GPUs that it knows of, everyone gets None at once."""

    def __init__(self, gpus: Iterable[str]) -> None:
        self._free: asyncio.Queue[str] = asyncio.Queue()
        self.all = tuple(gpus)
        for gpu in self.all:
            self._free.put_nowait(gpu)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[str | None]:
        """Wait for a free GPU and hold it. Without a time limit: a GameServer waits for it as a pending pod does."""
        if not self.all:
            yield None
            return
        gpu = await self._free.get()
        try:
            yield gpu
        finally:
            self._free.put_nowait(gpu)


class Ports:
    """Hands out loopback ports that nobody listens on; none twice at the same time.

    It goes round and round, from somewhere: a port comes back so late that nobody takes its new holder for the old one.
    """

    def __init__(self, ports: range = PORTS) -> None:
        self._ports = ports
        self._next = random.choice(range(len(ports)))  # noqa: S311 - not a secret
        self._taken: set[int] = set()

    @contextmanager
    def some(self, names: Iterable[str]) -> Iterator[dict[str, int]]:
        """A port for each name. Raises `OSError` when there are none left."""
        chosen: dict[str, int] = {}
        try:
            for name in names:
                chosen[name] = self._one()
            yield chosen
        finally:
            self._taken -= set(chosen.values())

    def _one(self) -> int:
        for _ in self._ports:
            port = self._ports[self._next]
            self._next = (self._next + 1) % len(self._ports)
            if port not in self._taken and _is_free(port):
                self._taken.add(port)
                return port
        raise OSError(f"no free port between {self._ports.start} and {self._ports.stop - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
