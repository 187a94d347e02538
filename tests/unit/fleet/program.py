"""What the tests run in place of a sidecar and a WebUI: `python program.py WORD...` does each word in turn.

ready, allocate, shutdown: that call of the SDK. ping: health pings from now on. sleep: for ever. deaf: ignore SIGTERM.
orphan: leave grandchildren behind, in a session of their own and deaf. say=TEXT, exit=N, write=PATH.
once=PATH: create PATH, or exit with code 1 when it is there already. again=PATH: the other way round.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import grpc.aio

from agones_sdk.stubs import sdk_pb2, sdk_pb2_grpc

PATH = str(Path(__file__).resolve())
_EMPTY = sdk_pb2.Empty()


async def _ping(sdk: sdk_pb2_grpc.SDKStub) -> None:
    stream = sdk.Health()
    while True:
        await stream.write(_EMPTY)
        await asyncio.sleep(0.05)


async def _do(sdk: sdk_pb2_grpc.SDKStub, name: str, value: str) -> None:
    match name:
        case "ready":
            await sdk.Ready(_EMPTY, timeout=10)
        case "allocate":
            await sdk.Allocate(_EMPTY, timeout=10)
        case "shutdown":
            await sdk.Shutdown(_EMPTY, timeout=10)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "orphan":
            script = "trap '' TERM HUP; (sleep 1000 &) ; setsid sleep 1000 & env -i sleep 1000"
            await asyncio.create_subprocess_exec("sh", "-c", script, start_new_session=True)
        case "sleep":
            await asyncio.Event().wait()
        case "exit":
            os._exit(int(value))
        case "say":
            sys.stdout.write(value + "\n")
            sys.stdout.flush()
        case "write":
            Path(value).write_text("x")
        case "again" | "once":
            if Path(value).exists() == (name == "once"):
                os._exit(1)
            Path(value).write_text("x")


async def main(words: list[str]) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{os.environ['AGONES_SDK_GRPC_PORT']}") as channel:
        sdk = sdk_pb2_grpc.SDKStub(channel)
        async with asyncio.TaskGroup() as group:
            for word in words:
                name, _, value = word.partition("=")
                if name == "ping":
                    group.create_task(_ping(sdk))
                else:
                    await _do(sdk, name, value)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
