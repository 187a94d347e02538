"""`python -m user_init` as its GameServer starts it."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from runtime import http
from runtime.errors import UserError
from runtime.names import LEASE_UID_ANNOTATION, NONCE_ANNOTATION, USER_LABEL, GameServerState
from tests.sdk_server import gameserver, sdk_server
from tests.unit.user_init.disk import ALICE
from user_init.settings import Settings, parse


def environment(path: Path) -> dict[str, str]:
    for name in ("users", "work"):
        (path / name).mkdir(exist_ok=True)
    return {
        "AGONES_SDK_GRPC_PORT": "9357",
        "ATELIER_WEBUI": "easel",
        "ATELIER_WEBUI_PORT": "7860",
        "ATELIER_LAUNCHER_SOCKET": str(path / "launcher.sock"),
        "ATELIER_USER_INIT_PORT": "7861",
        "ATELIER_USERS": str(path / "users"),
        "ATELIER_WORK": str(path / "work"),
        "ATELIER_SHARED": str(path / "shared"),
    }


def test_settings_come_from_the_environment_and_flags_count_more(tmp_path: Path) -> None:
    settings = parse(["--port", "99", "--bind=0.0.0.0"], environment(tmp_path))
    assert settings == Settings(
        sdk_port=9357,
        webui="easel",
        webui_port=7860,
        launcher_socket=str(tmp_path / "launcher.sock"),
        port=99,
        bind="0.0.0.0",
        users=str(tmp_path / "users"),
        work=str(tmp_path / "work"),
        shared=str(tmp_path / "shared"),
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ATELIER_USER_INIT_PORT", ""),
        ("ATELIER_USER_INIT_PORT", "0"),
        ("ATELIER_WEBUI_PORT", "65536"),
        ("AGONES_SDK_GRPC_PORT", "grpc"),
        ("ATELIER_WEBUI", "photoshop"),
        ("ATELIER_USERS", "/nowhere"),
        ("ATELIER_WORK", "/etc/passwd"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(UserError) as raised:
        parse([], environment(tmp_path) | {variable: value})
    assert variable in raised.value.problem
    assert value in raised.value.problem


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port


async def start(environ: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "user_init", env=os.environ | environ, stderr=asyncio.subprocess.PIPE
    )


async def test_sigterm_ends_it_cleanly_while_it_waits_and_when_it_has_prepared(tmp_path: Path) -> None:
    async with sdk_server(gameserver(GameServerState.READY)) as sdk:
        port = free_port()
        ports = {"AGONES_SDK_GRPC_PORT": str(sdk.port), "ATELIER_USER_INIT_PORT": str(port)}
        environ = environment(tmp_path) | ports
        for allocated in (False, True):
            process = await start(environ)
            try:
                await sdk.watched()
                if allocated:
                    annotations = {NONCE_ANNOTATION: "n", LEASE_UID_ANNOTATION: "lease"}
                    sdk.allocate({USER_LABEL: ALICE}, annotations)
                    reply = await http.call("127.0.0.1", port, "GET", "/prepared?nonce=n", timeout=20)
                    assert reply.status == 200
            finally:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(10):
                    _, errors = await process.communicate()
            assert process.returncode == 0, errors.decode()
            assert b"Traceback" not in errors
        assert (tmp_path / "work" / "outputs").readlink() == tmp_path / "users" / ALICE / "home" / "outputs"


async def test_a_port_in_use_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        process = await start(environment(tmp_path) | {"ATELIER_USER_INIT_PORT": str(port)})
        async with asyncio.timeout(20):
            _, errors = await process.communicate()
    assert process.returncode == 2
    assert errors.decode().splitlines() == [
        f"user_init: Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another with --port or --bind."
    ]
