"""From an allocated GameServer to a usable WebUI: the user's folders are in place and the WebUI serves."""

from allocator.policy.reconcile import usable
from allocator.sessions.context import Context
from allocator.sessions.model import GameServerRef
from fleet.base import USER_INIT_PORT, WEBUI_PORT, GameServer
from runtime.http import HttpError, Reply
from runtime.names import PREPARED_ANNOTATION
from webuis.base import Call, WebUI


class Lost(Exception):
    """The GameServer will never be usable; the text says why, for operators."""


class Preparation:
    """One user's GameServer on its way. `run` returns when the WebUI serves; its caller sets the deadline."""

    def __init__(self, context: Context, key: str, current: GameServerRef, webui: WebUI) -> None:
        self._context = context
        self._key = key
        self._current = current
        self._webui = webui

    async def run(self, server: GameServer | None) -> None:
        """`server` is what the allocation answered, when that was just now. Raises `Lost`, `Uncertain`."""
        server = server or await self._look()
        while not await self._prepared(server):
            await self._context.clock.sleep(self._context.timing.retry)
            server = await self._look()
        while not await self._serving(server):
            await self._context.clock.sleep(self._context.timing.retry)
            server = await self._look()

    async def _look(self) -> GameServer:
        """The GameServer as it is now. That it is lost is believed of a quorum read only: memory may be behind."""
        uid = self._current.uid
        cached = self._context.servers.get(self._current.name)
        if cached is not None and usable(cached, uid):
            return cached
        listed = {server.uid: server for server in await self._context.servers_of(self._key)}
        server = listed.get(uid)
        if server is None or not usable(server, uid):
            raise Lost("it vanished" if server is None else f"it is {server.state.value}")
        return server

    async def _prepared(self, server: GameServer) -> bool:
        """user_init's word for our nonce: in its answer, which is quick, or on record, which survives restarts."""
        if server.annotations.get(PREPARED_ANNOTATION) == self._current.nonce:
            return True
        call = Call("GET", f"/prepared?nonce={self._current.nonce}")
        reply = await self._ask(server, USER_INIT_PORT, call, self._context.timing.poll)
        if reply is None:
            return False
        if reply.status == 409:
            raise Lost("its user_init serves another allocation")
        try:
            answer = reply.json()
        except HttpError:
            return False
        if reply.status != 200 or not isinstance(answer, dict):
            return False
        return answer.get("nonce") == self._current.nonce and answer.get("state") == "prepared"

    async def _serving(self, server: GameServer) -> bool:
        reply = await self._ask(server, WEBUI_PORT, self._webui.serving, self._context.timing.probe)
        return reply is not None and reply.status == 200

    async def _ask(self, server: GameServer, port: str, call: Call, timeout: float) -> Reply | None:
        if server.address is None or port not in server.ports:
            return None
        try:
            return await self._context.call(
                server.address, server.ports[port], call.method, call.path, payload=call.payload, timeout=timeout
            )
        except HttpError:
            return None
