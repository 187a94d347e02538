"""What the sidecar asks the WebUI, as its description says. An answer that is not understood is no answer."""

import logging
from http import HTTPStatus

from runtime.clock import Clock
from runtime.http import HttpError, Reply, call
from sidecar.busy import Evidence
from webuis.base import Busy, BusyState, Call, WebUI

HOST = "127.0.0.1"
DEADLINE = 5.0
"""Seconds for one question."""
OK = HTTPStatus.OK

log = logging.getLogger("sidecar")


class Prober:
    """Asks one WebUI. Nothing here raises for what a WebUI does or leaves undone."""

    def __init__(self, webui: WebUI, port: int, clock: Clock, *, load_deadline: float) -> None:
        """`load_deadline`: seconds for the model. Its probe can be a generation, which must not be asked for twice."""
        self._webui, self._port, self._clock = webui, port, clock
        self._load_deadline = load_deadline

    async def is_loaded(self) -> bool:
        """Whether it serves and has its model. Takes as long as the model takes to load."""
        try:
            if (await self._ask(self._webui.serving, DEADLINE)).status != OK:
                return False
            if self._webui.model_loaded is None:
                return True
            reply = await self._ask(self._webui.model_loaded, self._load_deadline)
            read = self._webui.read_model_loaded
            return reply.status == OK and (read is None or read(reply.json()))
        except HttpError:
            return False

    async def busy(self) -> Evidence:
        """Whether it is busy, at the time of its reply."""
        busy, answered = Busy(BusyState.UNKNOWN), False
        try:
            reply = await self._ask(self._webui.busy, DEADLINE)
            answered = True
            if reply.status == OK:
                busy = self._webui.read_busy(reply.json())
        except HttpError as error:
            log.debug("%s", error)
        return Evidence(self._clock.monotonic(), self._clock.time(), busy, answered)

    async def _ask(self, question: Call, deadline: float) -> Reply:
        return await call(HOST, self._port, question.method, question.path, payload=question.payload, timeout=deadline)
