"""The outermost layer: every exchange begins and ends here.

It gives each exchange its id and its headers, turns every exception into the error contract, and writes one log line.
"""

import asyncio

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.errors import AuthError
from gateway.http import errors
from gateway.http.body import ClientGone
from gateway.http.exchange import CLIENT_GONE, Exchange, Response
from objects.errors import ObjectError

log = structlog.get_logger("raygate.access")


class Envelope:
    """Wraps an ASGI app, which finds its way back in ``scope["raygate.response"]`` and may raise ``ApiError``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one exchange."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange.begin(scope)
        response = scope["raygate.response"] = Response(exchange, send)
        status = 0
        try:
            await self._app(scope, receive, response)
        except ClientGone:
            status = CLIENT_GONE
        except asyncio.CancelledError:
            status = CLIENT_GONE
            raise
        except errors.ApiError as error:
            await asyncio.sleep(error.delay_s)
            await _answer(response, error)
        except HTTPException as error:
            await _answer(response, _from_router(error, scope))
        except RequestValidationError as error:
            await _answer(response, errors.from_request(error))
        except AuthError as error:
            await _answer(response, errors.from_auth(error))
        except ObjectError as error:
            await _answer(response, errors.from_object(error))
        except Exception as error:
            # The traceback goes to the log without the values of local variables: they hold prompts.
            log.exception("request failed", request_id=exchange.request_id, error=type(error).__name__)
            await _answer(response, errors.internal())
        finally:
            _log(scope, response, status or response.status)
            # It leads back to the scope: together they would stay until the garbage collector looks for cycles.
            del scope["raygate.response"]


async def _answer(response: Response, error: errors.ApiError) -> None:
    if response.status:
        await response.end(response.dialect.event(error))
    else:
        await response.json(error.status, response.dialect.body(error), error.headers)


def _from_router(error: HTTPException, scope: Scope) -> errors.ApiError:
    if error.status_code == 405:
        return errors.method_not_allowed((error.headers or {}).get("Allow", ""))
    return errors.unknown_route(scope["method"])


def _log(scope: Scope, response: Response, status: int) -> None:
    exchange = response.exchange
    log.info(
        "request",
        request_id=exchange.request_id,
        client_request_id=exchange.client_request_id,
        method=scope["method"],
        route=_route(scope),
        status=status,
        ms=round(exchange.elapsed_s() * 1000, 1),
        **response.facts,
    )


def _route(scope: Scope) -> str:
    """Return the route's pattern, for the path itself may hold what a client wants to see logged."""
    matched = scope.get("route") or scope.get("endpoint")
    return getattr(matched, "path", "unknown")
