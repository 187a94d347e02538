"""`atelier up`: the local edition from its first check to the end of its last process."""

import asyncio
import logging
import os
import signal
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Never

import yaml

from allocator.identity.dev import require_loopback
from allocator.identity.secret import ensure_secret
from allocator.settings import Profile, Settings, split_address
from cli import output, preflight
from cli.compose import fleet_spec
from cli.gpus import fitted
from cli.operators import TOKEN_FILE
from fleet.local.autoscaler import Webhook
from fleet.local.cluster import LocalCluster
from fleet.local.gameserver import Failure
from fleet.local.machine import nvidia_gpus
from runtime.errors import UserError, first_of

log = logging.getLogger("atelier")
ALLOCATOR_START_SECONDS = 20.0
ALLOCATOR_STOP_SECONDS = 4.0
_RESTART_SECONDS = 0.5
_LOOK_SECONDS = 0.25


def serve(settings: Settings) -> int:
    """Check, start, run until SIGINT or SIGTERM, stop everything. Returns the exit code. Raises `UserError`."""
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    data = settings.data.expanduser().absolute()
    gpus = nvidia_gpus()
    settings = fitted(settings, len(gpus))
    preflight.check_system()
    require_loopback([settings.listen, settings.operators])
    preflight.check_data(data)
    preflight.check_ports(settings)
    preflight.check_commands(settings)
    ensure_secret(data / "installation.key")
    ensure_secret(data / TOKEN_FILE)
    for folder in ("users", "shared/models"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    try:
        return asyncio.run(_Edition(settings, data, gpus).run())
    except* UserError as errors:
        raise first_of(errors) from None


class _Edition:
    """The local fleet in this process, the allocator as a child, and what the person at the terminal is told."""

    def __init__(self, settings: Settings, data: Path, gpus: tuple[str, ...]) -> None:
        self._settings = settings
        self._data = data
        self._instance = uuid.uuid4().hex
        self._began = time.monotonic()
        self._stop = asyncio.Event()
        self._serving = asyncio.Event()
        webhook = Webhook(f"http://{settings.operators}/autoscale", data / TOKEN_FILE)
        fleets = [fleet_spec(profile, settings) for profile in settings.profiles]
        self._cluster = LocalCluster(data, fleets, instance=self._instance, webhook=webhook, gpus=gpus)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores the end of its terminal, and so do we then
                loop.add_signal_handler(number, self._stop.set)
        async with asyncio.TaskGroup() as group:
            cluster = group.create_task(self._cluster.run())
            parts = [group.create_task(part) for part in (self._keep_allocator(), self._tell(), self._watch_failures())]
            await self._stop.wait()
            output.say("Stopping ...")
            for part in parts:
                part.cancel()
            await asyncio.wait(parts)
            self._cluster.stop()
            await cluster
        output.say("Stopped. Users' files are in " + str(self._data / "users"))
        return 0

    async def _keep_allocator(self) -> Never:
        """Start the allocator again whenever it dies: sessions are in the store, and go on."""
        await self._cluster.started.wait()
        file = self._data / "run" / "settings.yaml"
        await asyncio.to_thread(_write, file, self._settings)
        while True:
            process = await self._spawn_allocator(file)
            try:
                await self._until_serving(process)
                code = await process.wait()
            finally:
                await _end(process)
            log.warning("the allocator ended with code %d; starting it again", code)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _spawn_allocator(self, file: Path) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "allocator", "--settings", str(file), "--fleet-socket", str(self._cluster.socket)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "ATELIER_INSTANCE": self._instance},
            start_new_session=True,
        )

    async def _until_serving(self, process: asyncio.subprocess.Process) -> None:
        """Raises `UserError` when the first one does not come to serve; a later one is started again."""
        assert process.stdout is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(ALLOCATOR_START_SECONDS):
                if await process.stdout.readline() == b"serving\n":
                    self._serving.set()
        if not self._serving.is_set():
            raise UserError("The allocator did not start.", "The lines above say why; `atelier doctor` may know more.")

    async def _tell(self) -> None:
        await self._serving.wait()
        _, port = split_address(self._settings.listen)
        output.title("Atelier is running.")
        rows = [
            ("open", f"http://localhost:{port}"),
            ("users' files", str(self._data / "users")),
            ("shared models", str(self._data / "shared" / "models")),
            ("profiles", ", ".join(_described(profile) for profile in self._settings.profiles)),
            ("stop", "Ctrl-C"),
        ]
        output.fields(rows)
        output.say(
            "Users are kept from each other's mistakes, not from each other's code: for that, use the Kubernetes edition."
        )
        if any(profile.warm for profile in self._settings.profiles):
            await self._tell_first_ready()

    async def _tell_first_ready(self) -> None:
        """A real WebUI loads its model for minutes: somebody watches."""
        with output.waiting("The first WebUI is starting; pages wait for it by themselves."):
            await self._cluster.first_ready.wait()
        output.say(f"The first WebUI is ready, {output.duration(time.monotonic() - self._began)} after the start.")

    async def _watch_failures(self) -> Never:
        """Give up when what should be warm from the start does not start, and nothing else ever did."""
        warm = {profile.fleet for profile in self._settings.profiles if profile.warm}
        while True:
            failures = [failure for failure in self._cluster.failures if failure.fleet in warm]
            if failures and not self._cluster.first_ready.is_set():
                raise _hopeless(failures[-1])
            await asyncio.sleep(_LOOK_SECONDS)


def _hopeless(failure: Failure) -> UserError:
    words = " / ".join(line.strip() for line in failure.log[-3:] if line.strip())
    problem = f"The WebUI of profile {failure.fleet} does not start: {failure.reason}."
    return UserError(
        problem + (f" Its last words: {words}" if words else ""), "Try its command by hand, then correct --command."
    )


def _described(profile: Profile) -> str:
    return f"{profile.title or profile.name} ({profile.warm} warm, at most {profile.size})"


def _write(file: Path, settings: Settings) -> None:
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, a while to finish what it carries, SIGKILL."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(ALLOCATOR_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
