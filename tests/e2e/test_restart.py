"""The command is killed and started again with the same data folder: people are told, their places and files stay."""

import signal

from tests.e2e.test_sessions import generate
from tests.running_atelier import RunningAtelier, Up, images

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}


async def where_it_lands(atelier: RunningAtelier, user: str) -> str:
    """The page that a browser ends up with, without going round in a circle."""
    path = "/"
    for _ in range(3):
        async with atelier.http.get(path, headers={"X-Atelier-Dev-User": user, **NAVIGATION}, allow_redirects=False) as reply:
            if reply.status == 200:
                return await reply.text()
            path = reply.headers["Location"]
    raise AssertionError(f"sent round in a circle, at last to {path}")


async def test_a_killed_up_is_started_again(up: Up) -> None:
    async with up("--size", "1", EASEL_STEP_SECONDS="0.01") as atelier:
        await atelier.start("alice")
        await generate(atelier, "alice")
        for user in ("bob", "carol"):
            await atelier.api(user, "POST", "/_atelier/api/session", json={})
            await atelier.until(user, lambda view: view["state"] == "queued")
        atelier.process.send_signal(signal.SIGKILL)
        await atelier.process.wait()
    async with up("--size", "1", EASEL_STEP_SECONDS="0.01") as atelier:
        assert await where_it_lands(atelier, "alice")
        over = await atelier.until("alice", lambda view: view["state"] == "failed", 10)
        assert "Atelier was restarted" in over["reason"]
        assert "files are safe" in over["reason"]
        assert "files are safe" in await where_it_lands(atelier, "alice")
        await atelier.until("bob", lambda view: view["state"] == "active")
        await atelier.until("carol", lambda view: view["position"] == 1)
        await atelier.api("alice", "POST", "/_atelier/api/session", json={})
        await atelier.until("alice", lambda view: view["position"] == 2)
        assert len(list(images(atelier.data))) == 1
