"""The contract: an engine is an ASGI app that speaks OpenAI.

The gateway never re-implements an engine's API, and an engine never knows about keys, limits or users.
To add an engine, write one file with one class and one builder::

    class Parrot(Engine):
        async def start(self) -> ASGIApp:
            async def chat(request: Request) -> Response:
                body = await request.json()
                return JSONResponse({"object": "chat.completion", "model": self.settings.model, ...})

            return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])

        def load(self) -> Load:
            return Load(running=0, waiting=0)


    def build(args: dict[str, Any]) -> Application:
        return application(Parrot, args)  # from engines.replica

What an engine's app owes the gateway:

* the paths, bodies and status codes of the OpenAI API, under ``/v1``;
* ``usage`` in every whole answer, with integers;
* streams of completions in one form, for the gateway finds what it must notice by bytes. What is outside it is parsed,
  which costs time. ``engines.upstream`` makes it of what other servers send; ``doctor.form`` holds bytes against it:

  * an event is ``data: ``, compact JSON and two newlines: no comments, names or ids, no CR; whole events in each ASGI
    send; ``data: [DONE]`` is the last;
  * a chunk begins with ``{"id":"``; its ``id``, ``object`` (``chat.completion.chunk`` or ``text_completion``),
    ``created`` (an integer) and ``model`` are the same in all;
  * ``choices`` has objects with an ``index``, a ``delta`` (an object; of a text, ``text``) and ``finish_reason``: null,
    and once a text, after which the choice says nothing more. It is ``stop``, ``length``, ``tool_calls``,
    ``content_filter`` or ``function_call``;
  * a choice's first ``delta`` alone has ``"role":"assistant"``; ``content`` is a text or null; a part of a tool call
    has an ``index``, which counts from 0, and ``function.arguments`` as text; the call's first part alone has ``id``
    and ``function.name``;
  * with ``stream_options.include_usage`` there is one more chunk, the last: ``"choices":[]``, and ``usage`` with
    integers from 0, ``total_tokens`` the sum. No other chunk is without choices, or has a usage that is not null;
  * what fails ends with ``data: {"error":{...}}``, an object of that key alone with the API's four fields, and
    ``[DONE]``;
* streams of ``/v1/messages`` and ``/v1/responses`` as events of two lines, ``event: `` and ``data: ``, as those APIs
  have them;
* an end to the work when the request's task is cancelled, since that is how a client's absence arrives;
* if it can, its own count of a request that ends so: ``count_with`` of ``engines.used``.
"""

import contextlib
import os
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

TOKEN_HEADER = b"x-raygate-internal"
"""Carries the cluster's internal token on every request from a gateway to an engine."""

REQUEST_HEADER = b"x-raygate-request"
"""Carries the gateway's own id of a request, which is unique; ``x-request-id`` is the client's."""

USED_PATH = "/used/{request}"
"""Where an engine replica's status port tells what a request has used, by that id (RFC 9110's 204: it cannot tell)."""

CACHE_SALT_HEADER = "x-raygate-cache-salt"
"""Carries, from a pipeline to a model, the ``cache_salt`` of the project that asks: engines that know it take it."""

LOAD_PATH = "/load"
"""Where an engine replica's status port tells how many requests it runs and holds back."""

STATUS_PORT = "status_port"
"""The name of that port in the replica's metadata, which Ray Serve's request router knows."""


Task = Literal["generate", "embed", "score", "transcribe"]
"""What a model is for; it decides which endpoints an engine's app answers."""


def application_name(model: str) -> str:
    """Return the name of the Serve application that runs ``model``; Serve writes log files by it, so no slash."""
    return "model-" + model.replace("/", "--")


def default_home() -> Path:
    """Return the folder of the database, secrets and converted models: ``RAYGATE_HOME`` or ``~/.raygate``."""
    return Path(os.environ.get("RAYGATE_HOME") or "~/.raygate").expanduser()


class EngineSettings(BaseModel):
    """What a model's entry in the configuration tells its engine.

    Attributes:
        model: the name that clients put in ``model``.
        task: what the model is for.
        source: where the weights come from: ``embedded:NAME``, a folder, or a hub id; none for engines without weights.
        engine_args: the engine's own settings, handed to it as they are.
        home: the folder that holds the internal token and the converted models.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    task: Task = "generate"
    source: str | None = None
    engine_args: dict[str, Any] = Field(default_factory=dict)
    home: Path = Field(default_factory=default_home)


@dataclass(frozen=True)
class Load:
    """How many requests an engine replica generates for, and how many wait inside it."""

    running: int
    waiting: int


@dataclass(frozen=True)
class Used:
    """Tokens that a request has used, as the API's ``usage`` counts them; ``cached_tokens`` are of the prompt's."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: "Used") -> "Used":
        """Return the sum of both."""
        return Used(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


class Engine(ABC):
    """One engine in one replica. Subclasses keep heavy imports inside ``start``."""

    kind: ClassVar[str]
    takes_cache_salt: ClassVar[bool] = False
    """Whether requests may have ``cache_salt``, which keeps a prefix cache apart by project."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def start(self) -> ASGIApp:
        """Load the model and return the app that answers for it.

        Raises:
            EngineStartError: with the root cause in one line, when the model cannot be served.
        """

    @abstractmethod
    def load(self) -> Load:
        """Return the replica's own count of requests, from the engine's scheduler where it has one."""

    async def check_health(self) -> None:  # noqa: B027 - healthy unless an engine knows better
        """Raise when the engine can no longer answer: Serve then replaces the replica."""

    async def stop(self) -> None:  # noqa: B027 - most engines end with their process
        """Free what ``start`` took: processes, threads, memory. Called once, at most some seconds before the end."""


class EngineStartError(RuntimeError):
    """An engine could not start; the message is the root cause, in one line, for an operator to read."""


def error_response(
    status: int,
    message: str,
    *,
    type: str = "invalid_request_error",  # noqa: A002 - the API's own word
    code: str | None = None,
    param: str | None = None,
) -> JSONResponse:
    """Return the API's error shape: all four fields, always (OpenAI's ``Error`` schema)."""
    return JSONResponse({"error": {"message": message, "type": type, "param": param, "code": code}}, status_code=status)


def internal_token(home: Path) -> str:
    """Return the secret that gateways and engines of one cluster share.

    ``RAYGATE_INTERNAL_TOKEN`` wins, as clusters of several machines need; else it is kept in ``home``, readable
    by its owner alone, and made by whoever comes first.
    """
    if from_environment := os.environ.get("RAYGATE_INTERNAL_TOKEN"):
        return from_environment
    path = home / "secrets" / "internal_token"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written aside and linked into place: nobody can read a half-written token, and the first writer wins.
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    aside.touch(mode=0o600)
    try:
        aside.write_text(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()
    return path.read_text()
