"""What the tests run in place of a sidecar and a WebUI: `python program.py WORD...` does each word in turn.

ready, allocate, shutdown: that call of the SDK. ping: a health ping every 50 ms, for ever. sleep: for ever. deaf: ignore
SIGTERM. orphan: leave a grandchild in a session of its own, its environment cleaned if followed by nothing else.
exit=N: exit with that code. say=TEXT: print it. write=PATH: create that file. once=PATH: exit 1 unless PATH is there,
creating it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from agones_sdk.stubs import sdk_pb2, sdk_pb2_grpc

_EMPTY = sdk_pb2.Empty()


def _pings() -> Iterator[sdk_pb2.Empty]:
    while True:
        yield _EMPTY
        time.sleep(0.05)


def main(words: list[str]) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{os.environ['AGONES_SDK_GRPC_PORT']}")
    sdk = sdk_pb2_grpc.SDKStub(channel)
    for word in words:
        name, _, value = word.partition("=")
        match name:
            case "ready":
                sdk.Ready(_EMPTY, timeout=10)
            case "shutdown":
                sdk.Shutdown(_EMPTY, timeout=10)
            case "ping":
                threading.Thread(target=lambda: sdk.Health(_pings()), daemon=True).start()
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "orphan":
                subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM HUP; sleep 1000 & sleep 1000"], start_new_session=True)
            case "sleep":
                while True:
                    signal.pause()
            case "exit":
                os._exit(int(value))
            case "say":
                print(value, flush=True)
            case "write":
                Path(value).write_text("x")
            case "once":
                if not Path(value).exists():
                    Path(value).write_text("x")
                    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
