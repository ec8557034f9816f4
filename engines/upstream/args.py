"""What an operator says of the other server."""

import os

from pydantic import BaseModel, ConfigDict, Field

from engines.base import EngineStartError


class UpstreamArgs(BaseModel):
    """The ``engine_args`` of an upstream model.

    Attributes:
        base_url: the server's URL up to and with ``/v1``.
        model: what that server calls the model; by default the model's own name.
        api_key_env: the environment variable that holds the server's key.
        connect_timeout_s: how long a connection may take.
        idle_timeout_s: how long the server may send nothing at all in the middle of a request.
        total_timeout_s: how long a request may take in all; ``None`` leaves that to the gateway's own bound.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    model: str | None = None
    api_key_env: str | None = None
    connect_timeout_s: float = Field(default=5, gt=0)
    idle_timeout_s: float = Field(default=300, gt=0)
    total_timeout_s: float | None = Field(default=None, gt=0)


def credential(name: str) -> str:
    """Return the key in an environment variable, without the white space that a file or a secret store put round it.

    Raises:
        EngineStartError: it is not set, or no header could carry it.
    """
    key = os.environ.get(name, "").strip()
    if not key:
        raise EngineStartError(f"engine_args.api_key_env: the environment variable {name} is not set")
    if not (key.isascii() and key.isprintable()):
        raise EngineStartError(f"engine_args.api_key_env: the environment variable {name} has characters no key has")
    return key
