"""The operators' listener: the token, readiness, metrics, and what `atelier status` and `release` ask."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from allocator.autoscaling.review import BadReview
from allocator.gateway.counters import Counters
from allocator.operators.app import make_operators_app
from allocator.operators.lag import LoopLag
from allocator.operators.metrics import Metrics
from allocator.operators.sources import GatewaySnapshot, Sources
from allocator.sessions.history import OUTCOMES, Durations
from allocator.sessions.model import SessionState
from allocator.sessions.stats import Stats, UserSession
from allocator.settings import Profile, Settings
from tests.fake_sessions import ALICE, BOB, FakeSessions

TOKEN = "a-token"
SETTINGS = Settings(profiles=(Profile(name="easel"), Profile(name="sd15", webui="a1111")))
REVIEW = {"request": {"uid": "1", "name": "easel", "status": {"replicas": 2}}}
Client = TestClient[Any, Any]


@dataclass
class World:
    """What the sources say; a test changes it."""

    ready: bool = True
    sessions: FakeSessions = field(default_factory=FakeSessions)
    users: dict[str, str] = field(default_factory=lambda: {ALICE.key: "dev|alice", BOB.key: "dev|bob"})
    emails: dict[str, str] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    starts: dict[tuple[str, str], Durations] = field(default_factory=dict)
    answer: dict[str, object] | None = None
    lag: LoopLag = field(default_factory=LoopLag)

    def sources(self) -> Sources:
        return Sources(
            ready=lambda: self.ready,
            stats=lambda: Stats({("easel", "queued"): 2, ("easel", "active"): 1}, {}, self.starts, {"easel": 3}, 0, True, True),
            sessions=self.everyone,
            gateway=lambda: GatewaySnapshot(self.counters, 5, 2),
            review=self.review,
        )

    def everyone(self) -> list[UserSession]:
        return [
            UserSession(key, identity, self.emails.get(key, ""), self.sessions.view(key))
            for key, identity in self.users.items()
        ]

    def review(self, review: object) -> dict[str, object] | None:
        if self.answer == {}:
            raise BadReview("Fleet 'easel' holds no profile's GameServers.")
        return self.answer


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def anyone(world: World) -> AsyncIterator[Client]:
    sources = world.sources()
    app = make_operators_app(world.sessions, sources, Metrics(SETTINGS, sources, world.lag), world.lag, TOKEN)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def operator(anyone: Client) -> Client:
    anyone.session.headers["Authorization"] = f"Bearer {TOKEN}"
    return anyone


async def samples(operator: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by name and label values, sorted by label."""
    text = await (await operator.get("/metrics")).text()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def error(reply: Any) -> tuple[int, str]:
    return reply.status, (await reply.json())["error"]["code"]


async def test_ready_only_when_the_sessions_were_read(anyone: Client, world: World) -> None:
    assert (await anyone.get("/readyz")).status == 200
    world.ready = False
    assert await error(await anyone.get("/readyz")) == (503, "not_synced")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/metrics"), ("GET", "/sessions"), ("DELETE", "/sessions/alice"), ("POST", "/autoscale/easel"), ("GET", "/other")],
)
async def test_without_the_token_nothing_is_told_or_done(anyone: Client, world: World, method: str, path: str) -> None:
    world.sessions.set(ALICE, SessionState.ACTIVE)
    for given in (None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer ü"):
        reply = await anyone.request(method, path, headers={} if given is None else {"Authorization": given})
        assert await error(reply) == (401, "token_needed"), given
    assert world.sessions.calls == []


def test_an_empty_token_is_refused_at_the_start(world: World) -> None:
    sources = world.sources()
    with pytest.raises(ValueError, match="empty token"):
        make_operators_app(world.sessions, sources, Metrics(SETTINGS, sources, world.lag), world.lag, "")


async def test_sessions_are_listed_with_whose_they_are(operator: Client, world: World) -> None:
    world.sessions.set(ALICE, SessionState.ACTIVE, gameserver="easel-1", alive_because="An image is being made.")
    world.sessions.set(BOB, SessionState.QUEUED)
    world.emails[BOB.key] = "bob@example.org"
    listed = (await (await operator.get("/sessions")).json())["sessions"]
    assert [(row["user"], row["state"], row["key"]) for row in listed] == [
        ("alice", "active", ALICE.key),
        ("bob@example.org", "queued", BOB.key),
    ]
    assert (listed[0]["gameserver"], listed[0]["alive_because"]) == ("easel-1", "An image is being made.")


async def test_an_unsynced_replica_lists_and_releases_nothing(operator: Client, world: World) -> None:
    world.ready = False
    assert await error(await operator.get("/sessions")) == (503, "not_synced")
    assert await error(await operator.delete("/sessions/alice")) == (503, "not_synced")


@pytest.mark.parametrize("name", ["a-1", "alice", "alice@localhost", "dev%7Ca-1", ALICE.key])
async def test_a_session_is_released_by_its_users_name_identity_or_key(operator: Client, world: World, name: str) -> None:
    world.users[ALICE.key], world.emails[ALICE.key] = "dev|a-1", "alice@localhost"
    world.sessions.set(ALICE, SessionState.ACTIVE)
    reply = await operator.delete(f"/sessions/{name}")
    assert (await reply.json())["state"] == "ended"
    assert world.sessions.calls == [("release", ALICE.key, "Released by an operator.")]


async def test_a_name_without_a_session_says_so(operator: Client, world: World) -> None:
    assert await error(await operator.delete("/sessions/carol")) == (404, "no_session")
    assert await error(await operator.delete("/sessions/alice")) == (404, "no_session")
    assert world.sessions.calls == []


async def test_a_name_of_two_users_releases_neither(operator: Client, world: World) -> None:
    world.users = {ALICE.key: "one|alex", BOB.key: "two|alex"}
    world.sessions.set(ALICE, SessionState.ACTIVE)
    world.sessions.set(BOB, SessionState.ACTIVE)
    assert await error(await operator.delete("/sessions/alex")) == (409, "ambiguous")
    assert world.sessions.calls == []


async def test_a_fleet_gets_the_answer_to_its_review(operator: Client, world: World) -> None:
    world.answer = {"response": {"uid": "1", "scale": True, "replicas": 3}}
    reply = await operator.post("/autoscale/easel", json=REVIEW)
    assert (reply.status, await reply.json()) == (200, world.answer)


async def test_a_fleet_is_left_alone_while_nothing_can_be_believed(operator: Client) -> None:
    assert await error(await operator.post("/autoscale/easel", json=REVIEW)) == (503, "not_synced")


@pytest.mark.parametrize(
    ("body", "code"),
    [("{", "not_json"), ("[]", "bad_review"), ("{}", "bad_review"), ('{"request":{"name":"sd15"}}', "bad_review")],
)
async def test_a_bad_review_is_refused(operator: Client, world: World, body: str, code: str) -> None:
    world.answer = {"response": {}}
    reply = await operator.post("/autoscale/easel", data=body, headers={"Content-Type": "application/json"})
    assert await error(reply) == (400, code)


async def test_a_review_of_nobodys_fleet_is_refused(operator: Client, world: World) -> None:
    world.answer = {}
    assert await error(await operator.post("/autoscale/easel", json=REVIEW)) == (400, "bad_review")


async def test_every_label_value_is_there_before_the_first_event(operator: Client) -> None:
    found = await samples(operator)
    for profile in ("easel", "sd15"):
        assert ("atelier_queue_length", (profile,)) in found
        for outcome in OUTCOMES:
            assert found["atelier_session_start_seconds_count", (outcome, profile)] == 0
    for labels in Counters().requests:
        assert found["atelier_requests_total", labels] == 0
    assert found["atelier_bytes_total", ("sent",)] == 0


async def test_metrics_say_what_the_sources_say(operator: Client, world: World) -> None:
    world.counters.count("webui", 200)
    world.counters.sent_bytes = 1000
    world.counters.retries = 4
    world.starts["easel", "active"] = Durations().with_one(0.2).with_one(700.0)
    found = await samples(operator)
    assert found["atelier_requests_total", ("webui", "2xx")] == 1
    assert found["atelier_bytes_total", ("sent",)] == 1000
    assert found["atelier_gateway_events_total", ("retries",)] == 4
    assert found["atelier_open_connections", ("websocket",)] == 2
    assert found["atelier_sessions", ("easel", "active")] == 1
    assert found["atelier_queue_length", ("easel",)] == 2
    assert found["atelier_failed_starts", ("easel",)] == 3
    assert found["atelier_ready", ()] == 1
    start = "atelier_session_start_seconds"
    assert found[f"{start}_bucket", ("0.1", "active", "easel")] == 0
    assert found[f"{start}_bucket", ("0.25", "active", "easel")] == 1
    assert found[f"{start}_bucket", ("600.0", "active", "easel")] == 1
    assert found[f"{start}_bucket", ("+Inf", "active", "easel")] == 2
    assert found[f"{start}_sum", ("active", "easel")] == pytest.approx(700.2)
