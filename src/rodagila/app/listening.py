"""An ASGI application on a real port, while a block lasts.

>>> with listening(lambda: app, "127.0.0.1", 0) as url:  # doctest: +SKIP
...     httpx.get(url)
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from rodagila.core.errors import Conflict, Unreachable

BACKLOG = 2_048


@contextmanager
def listening(make_app: Callable[[], Any], host: str, port: int) -> Iterator[str]:
    """Serve an application on a thread and give its address; the port is taken before the application is made.

    Port 0 takes a free one. Raises ``Conflict`` (``port_in_use``) or ``Unreachable``.
    """
    with _listen(host, port) as listener:
        config = uvicorn.Config(make_app(), log_config=None, lifespan="off", access_log=False, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            _wait_for(server, thread)
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=30)


def end_on_termination() -> None:
    """Let SIGTERM, by which supervisors end a service, interrupt like a keyboard."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # taken at once: two that are only bound to a port do not see each other
    except OSError as error:
        listener.close()
        raise Conflict(
            "port_in_use", f"Port {port} on {host} cannot be used: {error.strerror}.", hint="Give another --port."
        ) from error
    return listener


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + 30
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise Unreachable("unreachable", "The server did not start.", hint="Run it with RODA_DEBUG=1.")
        time.sleep(0.01)
