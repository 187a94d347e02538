"""Named after what fails. In each, the user is told, the files stay, and no GPU leaks."""

import asyncio
import signal
from typing import Any

import psutil

from tests.e2e.test_sessions import PROMPT, generate
from tests.running_atelier import RunningAtelier, Up, eventually, images


async def fail(atelier: RunningAtelier, user: str, how: str) -> None:
    """Ask easel to fail; whether it still answers depends on how."""
    await atelier.api(user, "POST", "/easel/fail", json={"how": how})


def easels(atelier: RunningAtelier) -> set[int]:
    """The process numbers of all WebUIs."""
    return {process.pid for process in atelier.processes() if process.cmdline()[2:4] == ["-m", "webuis.easel"]}


async def answers(atelier: RunningAtelier, user: str) -> None:
    """Until the user's WebUI answers again."""

    async def pings() -> bool:
        return (await atelier.api(user, "GET", "/internal/ping"))[0] == 200

    await eventually(pings)


async def test_the_webui_crashes_while_allocated(atelier: RunningAtelier) -> None:
    before = await atelier.start("alice")
    await generate(atelier, "alice")
    crashed = easels(atelier)
    await fail(atelier, "alice", "crash")

    async def another_runs() -> bool:
        return bool(easels(atelier) - crashed) and not crashed <= easels(atelier)

    await eventually(another_runs)
    await answers(atelier, "alice")
    after = await atelier.session("alice")
    assert (after["state"], after["gameserver"]) == ("active", before["gameserver"])
    await generate(atelier, "alice", seed=8)
    assert len(list(images(atelier.data))) == 2


async def test_the_webui_hangs_and_is_neither_cut_nor_called_idle(atelier: RunningAtelier) -> None:
    await atelier.start("alice")
    hang = asyncio.ensure_future(fail(atelier, "alice", "hang"))
    view = await atelier.until("alice", lambda view: (view["busy"] or {}).get("state") == "unknown", 45)
    assert view["state"] == "active"
    await atelier.api("alice", "DELETE", "/_atelier/api/session")
    await atelier.until("alice", lambda view: view["state"] == "ended")
    await asyncio.gather(hang, return_exceptions=True)


async def test_the_webui_is_slow_to_start(up: Up) -> None:
    async with up("--size", "1", "--warm", "0", EASEL_START_SECONDS="4") as atelier:
        _, view = await atelier.api("alice", "POST", "/_atelier/api/session", json={})
        assert view["state"] in {"queued", "allocating"}
        await atelier.until("alice", lambda view: view["state"] == "active")


async def test_the_webui_never_starts(up: Up, tmp_path: Any) -> None:
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text("- {name: easel, size: 1, warm: 0, startup_deadline: 2s}")
    async with up("--profile-file", str(profiles), EASEL_NEVER_READY="1") as atelier:
        await atelier.api("alice", "POST", "/_atelier/api/session", json={})
        view = await atelier.until("alice", lambda view: "fail" in view["step"].lower(), 50)
        assert view["state"] == "queued"
        await atelier.api("alice", "DELETE", "/_atelier/api/session")
        await atelier.until("alice", lambda view: view["state"] in {"ended", "none"})


async def test_the_sidecar_is_killed(atelier: RunningAtelier) -> None:
    before = await atelier.start("alice")
    for sidecar in [process for process in atelier.processes() if "sidecar" in process.cmdline()]:
        sidecar.send_signal(signal.SIGKILL)
    await generate(atelier, "alice", steps=30)
    after = await atelier.until("alice", lambda view: (view["busy"] or {}).get("state") in {"busy", "idle"})
    assert (after["state"], after["gameserver"]) == ("active", before["gameserver"])


async def test_user_init_is_killed_as_the_user_arrives(atelier: RunningAtelier) -> None:
    for user_init in [process for process in atelier.processes() if "user_init" in process.cmdline()]:
        user_init.send_signal(signal.SIGKILL)
    await atelier.start("alice")
    await generate(atelier, "alice")
    assert len(list(images(atelier.data))) == 1


async def kill_allocator(atelier: RunningAtelier) -> None:
    allocator = next(process for process in atelier.processes() if "allocator" in process.cmdline())
    allocator.send_signal(signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, [allocator], 10)


async def back_again(atelier: RunningAtelier) -> None:
    async def answers() -> bool:
        try:
            return (await atelier.api("nobody-yet", "GET", "/_atelier/healthz"))[0] == 200
        except OSError:
            return False

    await eventually(answers)


async def test_the_allocator_is_killed_during_a_wait(up: Up) -> None:
    async with up("--size", "1", "--warm", "0", EASEL_START_SECONDS="4") as atelier:
        _, before = await atelier.api("alice", "POST", "/_atelier/api/session", json={})
        await kill_allocator(atelier)
        await back_again(atelier)
        after = await atelier.until("alice", lambda view: view["state"] == "active")
        assert dict(after["timeline"])["queued"] == dict(before["timeline"])["queued"]


async def test_the_allocator_is_killed_during_a_generation(up: Up) -> None:
    async with up("--size", "1", EASEL_STEP_SECONDS="0.1") as atelier:
        before = await atelier.start("alice")
        long_one = {**PROMPT, "steps": 60}
        generation = asyncio.ensure_future(atelier.api("alice", "POST", "/sdapi/v1/txt2img", json=long_one))
        await atelier.until("alice", lambda view: (view["busy"] or {}).get("state") == "busy")
        await kill_allocator(atelier)
        await asyncio.gather(generation, return_exceptions=True)
        await back_again(atelier)
        after = await atelier.until("alice", lambda view: view["state"] == "active")
        assert after["gameserver"] == before["gameserver"]
        await generate(atelier, "alice", seed=9)
        assert len(list(images(atelier.data))) == 2


async def test_the_allocator_is_killed_during_a_release(atelier: RunningAtelier) -> None:
    view = await atelier.start("alice")
    release = asyncio.ensure_future(atelier.api("alice", "DELETE", "/_atelier/api/session"))
    await asyncio.sleep(0)
    await kill_allocator(atelier)
    await asyncio.gather(release, return_exceptions=True)
    await back_again(atelier)
    if (await atelier.session("alice"))["state"] == "active":  # killed before the request arrived
        await atelier.api("alice", "DELETE", "/_atelier/api/session")
    await atelier.until("alice", lambda view: view["state"] in {"ended", "none"})

    async def gone() -> bool:
        return not any(view["gameserver"] in " ".join(process.cmdline()) for process in atelier.processes())

    await eventually(gone)


async def test_the_launcher_is_killed_while_allocated(atelier: RunningAtelier) -> None:
    view = await atelier.start("alice")
    await generate(atelier, "alice")
    launcher = next(
        p for p in atelier.processes() if "launcher.py" in " ".join(p.cmdline()) and view["gameserver"] in str(p.cmdline())
    )
    launcher.send_signal(signal.SIGKILL)
    over = await atelier.until("alice", lambda view: view["state"] in {"failed", "ended"}, 50)
    assert "files are safe" in over["reason"]
    await atelier.start("alice")
    assert len(list(images(atelier.data))) == 1
