"""What the gateway does with a request before, or instead of, sending it on."""

import asyncio
import json

import pytest

from allocator.gateway.heads import MAX_HEAD
from tests.eventually import eventually
from tests.unit.gateway.rig import ALICE, BOB, Rig, Wire, request


async def test_a_request_that_only_a_person_causes_counts_and_a_poll_does_not(rig: Rig) -> None:
    await rig.ask(request("GET /sdapi/v1/progress"))
    await rig.ask(request("GET /ws"))
    assert rig.routes.activities == []
    await rig.ask(request("POST /sdapi/v1/txt2img", "Content-Length: 2", body=b"{}"))
    assert rig.routes.activities == [(ALICE.key, "generation")]
    assert rig.routes.admitted == [ALICE.key]


async def test_a_new_job_in_a_session_that_is_being_released_is_held_back(rig: Rig) -> None:
    rig.routes.admits = False
    wire = await rig.connect()
    await wire.send(request("POST /sdapi/v1/txt2img", "Content-Length: 2", body=b"{}"))
    reply = await wire.reply()
    assert (reply.start, json.loads(reply.body)["error"]["code"]) == ("409", "releasing")
    assert rig.alice.seen == []


async def test_an_admission_that_fails_or_does_not_come_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(key: str) -> bool:
        raise RuntimeError(key)

    async def hanging(key: str) -> bool:
        raise TimeoutError(key)

    for admit in (broken, hanging):
        monkeypatch.setattr(rig.routes, "admit", admit)
        reply = await rig.ask(request("POST /sdapi/v1/txt2img", "Content-Length: 2", body=b"{}"))
        assert (reply.start, json.loads(reply.body)["error"]["code"]) == ("503", "busy")


async def test_an_identity_that_a_client_claims_reaches_nobody(rig: Rig) -> None:
    forged = f"X-Atelier-User: {BOB.encode().decode()}"
    await rig.ask(request("GET /_atelier/api/session", forged, "X_Atelier_User: x"))
    await rig.ask(request("GET /", forged))
    assert rig.app.seen[0].get("x-atelier-user") == ALICE.encode().decode()
    assert rig.app.seen[0].get("x_atelier_user") is None
    assert rig.alice.seen[0].get("x-atelier-user") is None


async def test_a_request_without_a_session_is_answered_and_the_connection_stays(rig: Rig) -> None:
    rig.routes.routes.clear()
    wire = await rig.connect()
    for _ in range(2):
        await wire.send(request("GET /poll"))
        reply = await wire.reply()
        assert (reply.start, json.loads(reply.body)["error"]["code"]) == ("409", "no_session")
    await wire.send(request("POST /upload", "Content-Length: 1000000000", body=b"x" * 100_000))
    reply = await wire.reply()
    assert (reply.start, reply.get("connection")) == ("409", "close")
    assert await wire.ended()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("POST /", "Content-Length: 1", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), "400"),
        (request("POST /", "Content-Length: 1", "Content-Length: 1", body=b"x"), "400"),
        (b"GET / HTTP/1.1\nHost: alice.localhost\n\n", "400"),
        (b"GET / HTTP/1.1\r\n\r\n", "400"),
        (request("GET /", "Host: bob.localhost"), "400"),
        (request("GET /", "X-Atelier-Dev-User: a", "X-Atelier-Dev-User: b", host="localhost"), "400"),
        (request("GET /", "X: " + "x" * MAX_HEAD), "431"),
        (request("BREW /"), "501"),
        (request("POST /", "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), "501"),
    ],
)
async def test_a_malformed_request_is_answered_once_and_reaches_nobody(rig: Rig, sent: bytes, status: str) -> None:
    wire = await rig.connect()
    await wire.send(sent + request("GET /smuggled"))
    reply = await wire.reply()
    assert (reply.start, reply.get("connection")) == (status, "close")
    assert await wire.ended()
    assert rig.alice.seen == []
    assert rig.gateway.counters.malformed_requests == 1


async def test_a_body_that_turns_out_malformed_ends_both_sides(rig: Rig) -> None:
    cut = asyncio.Event()

    async def waiting(wire: Wire) -> None:
        while await wire.read():
            pass
        cut.set()

    rig.alice.handler = waiting
    wire = await rig.connect()
    await wire.send(request("POST /", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
    await eventually(lambda: rig.alice.connections == 1)
    await wire.send(b"nonsense\r\n" + request("GET /smuggled"))
    reply = await wire.reply()
    assert (reply.start, reply.get("connection")) == ("400", "close")
    assert await wire.ended()
    async with asyncio.timeout(10):
        await cut.wait()
