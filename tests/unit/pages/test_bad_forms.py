"""Forms and addresses that no page of ours makes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from allocator.pages.app import make_app
from allocator.settings import Settings
from tests.fake_sessions import ALICE, FakeSessions

Client = TestClient[Any, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    signed_in = {"X-Atelier-User": ALICE.encode().decode()}
    async with TestClient(TestServer(make_app(FakeSessions(), Settings())), headers=signed_in) as client:
        yield client


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x", "multipart/form-data", 415),
        (b"garbage", "multipart/form-data; boundary=a", 415),
        (b"profile=easel", "application/x-www-form-urlencoded; charset=nonsense", 303),
        (b"", "application/x-www-form-urlencoded", 303),
    ],
)
async def test_a_form_that_no_page_of_ours_sends_is_no_failure_of_ours(
    client: Client, content: bytes, kind: str, status: int
) -> None:
    async with client.post("/_atelier/start", data=content, headers={"Content-Type": kind}, allow_redirects=False) as reply:
        assert reply.status == status


async def test_a_port_that_cannot_be_is_left_out_of_the_address(client: Client) -> None:
    async with client.get("/_atelier/sign-in?name=bob", headers={"Host": "localhost:99999"}, allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (303, "http://bob.localhost/")
