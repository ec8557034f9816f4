"""An ASGI layer that knows how many requests are in progress behind it."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Counted:
    """Counts requests from their beginning to their end, however they end.

    Attributes:
        running: how many are in progress.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        requests = 1 if scope["type"] == "http" else 0
        self.running += requests
        try:
            await self._app(scope, receive, send)
        finally:
            self.running -= requests
