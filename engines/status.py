"""An engine replica's side door: its own figures, on a port apart from its requests.

Ray Serve queues whatever arrives at a replica's ordinary port, so a replica that is full could not say so there.
"""

import asyncio
import socket

import uvicorn
from ray.util import get_node_ip_address
from starlette.types import ASGIApp


class StatusServer:
    """Serves an app on a free port of this node's address in the cluster."""

    def __init__(self, app: ASGIApp) -> None:
        self._listener = socket.create_server((get_node_ip_address(), 0))
        config = uvicorn.Config(app, lifespan="off", access_log=False, log_config=None)
        self._server = uvicorn.Server(config)
        self._task = asyncio.create_task(self._server.serve([self._listener]), name="status-server")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    async def close(self) -> None:
        """Stop listening."""
        self._server.should_exit = True
        await self._task
