"""Users and GameServers as a whole: one each, one at a time, and back again."""

import asyncio
import base64
from typing import Any

from tests.running_atelier import RunningAtelier, Up, eventually, images

PROMPT = {"prompt": "a harbour at dawn", "steps": 3, "width": 64, "height": 64, "seed": 7}


async def generate(atelier: RunningAtelier, user: str, **changes: Any) -> bytes:
    status, reply = await atelier.api(user, "POST", "/sdapi/v1/txt2img", json={**PROMPT, **changes})
    assert status == 200, reply
    return base64.b64decode(reply["images"][0])


async def test_each_user_gets_a_webui_and_a_folder_of_their_own(atelier: RunningAtelier) -> None:
    alice, bob = await asyncio.gather(atelier.start("alice"), atelier.start("bob"))
    assert alice["gameserver"] != bob["gameserver"]
    await generate(atelier, "alice", prompt="alice's")
    await generate(atelier, "bob", prompt="bob's")
    folders = {image.relative_to(atelier.data / "users").parts[0] for image in images(atelier.data)}
    assert len(folders) == 2
    assert len(list(images(atelier.data))) == 2


async def test_one_user_clicking_50_times_gets_one_gameserver(atelier: RunningAtelier) -> None:
    clicks = [atelier.api("alice", "POST", "/_atelier/api/session", json={}) for _ in range(50)]
    answers = await asyncio.gather(*clicks)
    assert {status for status, _ in answers} <= {200, 201, 202}, answers[0]
    view = await atelier.until("alice", lambda view: view["state"] == "active")
    place = ("alice", "POST", "/_atelier/api/session")
    assert (await atelier.api(*place, json={}))[1]["gameserver"] == view["gameserver"]
    assert sum("launcher.py" in " ".join(process.cmdline()) for process in atelier.processes()) <= 2


async def test_50_users_race_for_3_gameservers(up: Up) -> None:
    users = [f"user-{number}" for number in range(50)]
    async with up("--size", "3", "--warm", "3") as atelier:
        await asyncio.gather(*(atelier.api(user, "POST", "/_atelier/api/session", json={}) for user in users))

        now: dict[str, dict[str, Any]] = {}

        async def three_are_active() -> bool:
            now.update(zip(users, await asyncio.gather(*map(atelier.session, users)), strict=True))
            return [view["state"] for view in now.values()].count("active") == 3

        await eventually(three_are_active, 30)
        active = [user for user in users if now[user]["state"] == "active"]
        waiting = [user for user in users if now[user]["state"] == "queued"]
        assert (len(active), len(waiting)) == (3, 47)
        assert len({now[user]["gameserver"] for user in active}) == 3
        assert sorted(now[user]["position"] for user in waiting) == list(range(1, 48))
        first = min(waiting, key=lambda user: now[user]["position"])
        await atelier.api(active[0], "DELETE", "/_atelier/api/session")
        await atelier.until(first, lambda view: view["state"] == "active")


async def test_yesterdays_images_are_found_after_a_release(atelier: RunningAtelier) -> None:
    first = await atelier.start("alice")
    await generate(atelier, "alice")
    await atelier.api("alice", "DELETE", "/_atelier/api/session")
    await atelier.until("alice", lambda view: view["state"] == "ended")
    second = await atelier.start("alice")
    assert second["gameserver"] != first["gameserver"]
    _, page = await atelier.api("alice", "GET", "/easel/gallery")
    assert page["total"] == 1


async def test_a_webui_path_or_a_get_never_starts_a_session(atelier: RunningAtelier) -> None:
    for path in ("/", "/sdapi/v1/progress", "/_atelier/start", "/_atelier/api/session", "/_atelier/desk"):
        await atelier.api("carol", "GET", path, headers={"Sec-Fetch-Mode": "navigate", "Accept": "text/html"})
    status, error = await atelier.api("carol", "POST", "/sdapi/v1/txt2img", json=PROMPT)
    assert (status, error["error"]["code"]) == (409, "no_session")
    assert (await atelier.session("carol"))["state"] == "none"


async def test_idle_is_announced_and_can_be_extended_then_released(up: Up) -> None:
    async with up("--idle-timeout", "4s", ATELIER_TEST_MIN_IDLE="1") as atelier:
        await atelier.start("alice")
        warned = await atelier.until("alice", lambda view: view["state"] == "ending")
        assert warned["releases_at"] > warned["now"]
        status, _ = await atelier.api("alice", "POST", "/_atelier/api/session/extend", json={})
        assert status == 200
        await atelier.until("alice", lambda view: view["state"] == "active")
        ended = await atelier.until("alice", lambda view: view["state"] == "ended")
        assert "idle" in ended["reason"].lower()


async def test_a_generation_longer_than_the_idle_timeout_is_not_cut(up: Up) -> None:
    async with up("--idle-timeout", "3s", ATELIER_TEST_MIN_IDLE="1", EASEL_STEP_SECONDS="1") as atelier:
        await atelier.start("alice")
        assert await generate(atelier, "alice", steps=12)
        assert (await atelier.session("alice"))["state"] in {"active", "ending"}
        await atelier.until("alice", lambda view: view["state"] == "ended", 40)


async def test_what_identifies_a_user_never_reaches_a_webui(atelier: RunningAtelier) -> None:
    await atelier.start("alice")
    _, echo = await atelier.api("alice", "GET", "/easel/echo", headers={"X-Atelier-User": "forged", "X-Custom": "kept"})
    names = {name.lower() for name, _ in echo["headers"]}
    assert "x-custom" in names
    assert not {name for name in names if name.startswith("x-atelier-")}
