"""Replies are lost, late and refused, replicas and GameServers die: the invariants hold all the same."""

import random
from collections.abc import Awaitable

import pytest

from allocator.sessions.api import SessionRefused
from allocator.sessions.model import OVER, USABLE, SessionState
from runtime.names import USER_LABEL, GameServerState
from tests.sessions_world import FLEET, Replica, World, user, world

USERS = 5
SERVERS = 4
KEYS = [user(number).key for number in range(USERS)]


class Chaos:
    """Random acts, repeatable by the seed, and a watch over who is given the use of what."""

    def __init__(self, w: World, seed: int) -> None:
        self.w = w
        self.random = random.Random(seed)
        self.served: dict[str, str] = {}
        """By GameServer's uid: whom it was ever routed to."""

    async def add_replica(self) -> None:
        replica = await self.w.replica()
        replica.link.chaos = random.Random(self.random.random())

    def living(self) -> list[Replica]:
        return [replica for replica in self.w.replicas if not replica.link.away]

    async def step(self) -> None:
        one, key = self.random.choice(self.living()), self.random.randrange(USERS)
        dice = self.random.random()
        if dice < 0.45:
            self.w.group.create_task(tolerant(one.service.start(user(key))))
        elif dice < 0.6:
            self.w.group.create_task(tolerant(one.service.release(user(key).key, "enough")))
        elif dice < 0.64 and len(self.living()) > 1:
            one.kill()
        elif dice < 0.7 and len(self.living()) < 3:
            await self.add_replica()
        elif dice < 0.8:
            self.harm()
        self.top_up()
        await self.w.clock.advance(self.random.choice([0.05, 0.5, 2.0]))
        self.check_routes()

    def harm(self) -> None:
        servers = self.w.cluster.servers.list().items
        if servers:
            name = self.random.choice(servers).name
            act = self.random.choice([None, GameServerState.UNHEALTHY, GameServerState.READY])
            self.w.cluster.remove(name) if act is None else self.w.cluster.set_state(name, act)

    def top_up(self) -> None:
        missing = SERVERS - len(self.w.cluster.servers.list().items)
        if missing > 0 and self.random.random() < 0.5:
            self.w.cluster.add(FLEET, missing)

    def check_routes(self) -> None:
        """Invariant 1: one user, one GameServer; one GameServer, one user in its life."""
        for key in KEYS:
            assert len(self.w.allocated(key)) <= 3
            routes = [route for replica in self.living() if (route := replica.service.route(key))]
            alive = {server.uid for server in self.w.allocated(key)}
            assert len({route.uid for route in routes} & alive) <= 1, f"{key} has the use of two GameServers"
            for route in routes:
                assert self.served.setdefault(route.uid, key) == key, "a GameServer serves two users"

    def check_settled(self) -> None:
        """Invariant 3: each Allocated GameServer has a live session that names it. Nobody is stuck on the way."""
        for server in self.w.cluster.servers.list().items:
            if key := server.labels.get(USER_LABEL):
                session = self.w.session(key)
                assert session is not None, f"{server.name} is an orphan"
                assert session.current is not None, f"{server.name} is an orphan of a session that is {session.state}"
                assert session.current.uid == server.uid, f"{server.name} is a duplicate"
                assert server.state is GameServerState.ALLOCATED
        for key in KEYS:
            assert self.w.state(key) in USABLE | OVER | {SessionState.QUEUED}, f"{key} is stuck: {self.w.state(key)}"
            for replica in self.living():
                assert (replica.service.route(key) is not None) == (self.w.state(key) in USABLE)


async def tolerant(act: Awaitable[object]) -> None:
    try:
        await act
    except SessionRefused:
        return


@pytest.mark.parametrize("seed", range(6))
async def test_no_user_has_two_gameservers_and_none_leaks(seed: int) -> None:
    async with world() as w:
        chaos = Chaos(w, seed)
        await chaos.add_replica()
        await chaos.add_replica()
        for _ in range(40):
            await chaos.step()
        for replica in chaos.living():
            replica.link.chaos = None
        for key in KEYS:  # waiting pages stay open
            chaos.living()[0].service.page_seen(key)
        await w.clock.advance(60)
        chaos.check_routes()
        chaos.check_settled()
