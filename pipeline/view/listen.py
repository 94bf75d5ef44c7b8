"""From a host and a port to a server that runs until it is told to end."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from pipeline.errors import GatescopeError
from pipeline.view.serve import url_host

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
# Seconds that answers which are under way may still take.
_GRACE_S: Final = 1


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises GatescopeError for a host that is not this machine's and for a port that cannot be had.
    """
    if not 0 <= port <= 65535:
        raise GatescopeError(f"serve: --port {port} is none: give 0 (any free one) to 65535")
    if not host.strip():
        raise GatescopeError("serve: --host is empty: give this machine's address, or leave it out")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # Of a name that has both, what people type: 127.0.0.1.
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        listener = socket.create_server(address, family=family, backlog=128)
        # An answer's head and body are two packets: without this the second waits 40 ms for the
        # receipt of the first. asyncio sets it on sockets that it makes itself.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, UnicodeError) as error:
        raise GatescopeError(_refusal(host, port, error)) from error


def _refusal(host: str, port: int, error: OSError | UnicodeError) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return (
            f"serve: port {port} is taken on {host}; end what listens there, or give another with "
            "--port (0: any free one)"
        )
    if code in (errno.EACCES, errno.EPERM):
        return f"serve: port {port} needs rights that you do not have; give one above 1023"
    said = getattr(error, "strerror", None) or error
    return f"serve: --host {host} is no address of this machine ({said}); leave it out, or mend it"


def address_of(listener: socket.socket, host: str) -> str:
    """The URL to open: by the host that was given or, where that is any, by this machine's name."""
    named = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"http://{url_host(named)}:{listener.getsockname()[1]}/"


def run_server(app: ASGIApp, listener: socket.socket, announce: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM; the socket is closed then.

    `announce` is called once a signal ends the server as it should.
    """
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    with listener, _ended_by_signals(server):
        announce()
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says nothing of the answers that an end cuts off."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Ending is what a server is told to do, not a failure.

    uvicorn raises the signals again once it has ended, for whoever was there before it: us.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        server.should_exit = True

    before = {name: signal.signal(name, end) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
