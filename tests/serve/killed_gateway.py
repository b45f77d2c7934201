"""Gateways that are killed by SIGKILL at a chosen step of a call; run as a program by ``test_killed_gateway``.

The program imports everything once and then forks a gateway for each line ``{"kill_at": N}`` on its input: a real
process with a real port over the stand's files, which kills itself when the N-th step of the first call is reached (0:
never). A step is the moment before or after the handler and before or after anything that reads or writes the table of
calls, the table of channels or the ledger. It answers each line with the port; the next line ends the gateway before.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
import x402.facilitator
import x402.http.utils
import x402.mechanisms.evm.batch_settlement.facilitator.deposit
import x402.mechanisms.evm.exact.facilitator  # noqa: F401

from gateway_stand import Stand

STEPS = (
    ("calls", ("get", "named", "claim", "keep", "serve", "release")),
    ("channels", ("get", "update_channel", "move_cursor")),
    ("ledger", ("call", "send", "receipt", "logs")),
)


def main() -> None:
    """Fork a gateway for each line of input."""
    folder, token, child = Path(sys.argv[1]), sys.argv[2], 0
    for line in sys.stdin:
        if child:
            end(child)
        with socket.socket(proto=socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            child = os.fork()
            if child == 0:
                serve(Stand(folder, token=token), listener, json.loads(line)["kill_at"])
            print(listener.getsockname()[1], flush=True)
    if child:
        end(child)


def end(child: int) -> None:
    """Kill a gateway, as any of them ends."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def serve(stand: Stand, listener: socket.socket, kill_at: int) -> None:
    """Serve until killed."""
    reached = 0

    def step() -> None:
        nonlocal reached
        reached += 1
        if reached == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def stepped(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            step()
            result = function(*args, **named)
            step()
            return result

        return wrapped

    for place, names in STEPS:
        for name in names:
            part = getattr(stand, place)
            setattr(part, name, stepped(getattr(part, name)))
    stand.models["docs"].before = step
    server = uvicorn.Server(uvicorn.Config(stand.app, ws="none", lifespan="off", log_level="critical"))
    asyncio.run(server.serve([listener]))
    os._exit(0)


if __name__ == "__main__":
    main()
