"""What keeps a WebUI alive and what does not, in real time; and that many who wait hold nobody up."""

import asyncio
import time
from typing import Any

import aiohttp

from tests.running_atelier import RunningAtelier, Up

MOST_LAG = 0.25
"""Seconds: no call on the event loop may block it for so long."""


async def test_an_open_page_without_a_person_is_released_and_one_with_a_person_is_not(up: Up) -> None:
    async with up("--size", "2", "--warm", "2", "--idle-timeout", "4s", ATELIER_TEST_MIN_IDLE="1") as atelier:
        await asyncio.gather(atelier.start("alice"), atelier.start("bob"))
        released = asyncio.ensure_future(released_when_told(atelier, "alice"))
        while not released.done():
            await atelier.api("bob", "POST", "/_atelier/api/presence", json={"source": "pointer"})
            await asyncio.sleep(0.5)
        assert -0.1 < await released < 2.0, "never before the time that was told, and not much later"
        assert (await atelier.session("bob"))["state"] == "active"


async def released_when_told(atelier: RunningAtelier, user: str) -> float:
    """How much later than told an open, untouched desk was released, in seconds."""
    told: list[float] = []

    def is_over(view: dict[str, Any]) -> bool:
        if view["state"] == "ending":
            told.append(view["releases_at"])
        return bool(told) and view["state"] in {"releasing", "ended"}

    over = await atelier.until(user, is_over, 40)
    return float(dict(over["timeline"])["releasing"] - min(told))


async def test_a_webui_that_stops_answering_is_unknown_and_kept_for_the_limit_of_the_unknown(up: Up, tmp_path: Any) -> None:
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text("- {name: easel, size: 1, idle_timeout: 2s, unknown_limit: 20s}")
    async with up("--profile-file", str(profiles), ATELIER_TEST_MIN_IDLE="1") as atelier:
        await atelier.start("alice")
        began = time.time()
        await atelier.api("alice", "POST", "/easel/fail", json={"how": "stop-answering"})
        over = await atelier.until("alice", lambda view: view["state"] in {"releasing", "ended"}, 50)
        assert "did not say" in over["reason"]
        assert dict(over["timeline"])["releasing"] - began > 19


async def test_50_waiting_pages_do_not_hold_up_the_event_loop(up: Up) -> None:
    users = [f"user-{number}" for number in range(50)]
    async with up("--size", "1") as atelier:
        await asyncio.gather(*(atelier.api(user, "POST", "/_atelier/api/session", json={}) for user in users))
        end = time.monotonic() + 4
        while time.monotonic() < end:
            await asyncio.gather(*map(atelier.session, users))
        token = (atelier.data / "operator.token").read_text().strip()
        url = f"http://127.0.0.1:{atelier.operators_port}/metrics"
        async with aiohttp.ClientSession() as http, http.get(url, headers={"Authorization": f"Bearer {token}"}) as reply:
            lines = (await reply.text()).splitlines()
        (lag,) = (float(line.split()[1]) for line in lines if line.startswith("atelier_event_loop_lag_seconds "))
        assert 0 < lag < MOST_LAG
