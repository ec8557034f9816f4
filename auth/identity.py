"""Who vouches for people that have no key of ours: an issuer of JSON Web Tokens, as OpenID Connect has it.

Example::

    identity:
      issuer: https://login.example.com/
      audience: raygate
      jwks: https://login.example.com/.well-known/jwks.json   # or a file
      claims: {project: department, scopes: scope}
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from auth.limits import parse_limits
from auth.tables import DEFAULT_PROJECT

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric ones alone: with a shared secret, whoever can check a token could make one."""


class Claims(BaseModel):
    """The names of the claims that say what a token's owner may do; ``None`` means that no claim does.

    Attributes:
        project: the id or the name of the project that pays; without the claim, ``default_project``.
        scopes: a list, or words with spaces between; what is none of our scopes is ignored. By default ``inference``.
        models: a list of globs, or words with spaces between. By default every model.
        limits: a list as in the admin API; without the claim, ``default_limits``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str | None = None
    scopes: str | None = None
    models: str | None = None
    limits: str | None = None


class Identity(BaseModel):
    """An issuer, and what we believe of what it says.

    Attributes:
        issuer: what ``iss`` must be.
        audience: what ``aud`` must be or hold.
        jwks: the issuer's public keys (RFC 7517): a URL or a file.
        algorithms: those in which a token may be signed.
        leeway_s: how far the issuer's clock may be off.
        refresh_s: how often the keys are read again.
        claims: where a token says what its owner may do.
        default_project: the project (id or name) of tokens without a claim; ``None`` refuses them.
        default_limits: the limits of tokens without a claim, for each owner.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks: str = Field(min_length=1)
    algorithms: list[Algorithm] = Field(default=["RS256", "ES256"], min_length=1)
    leeway_s: float = Field(default=30, ge=0, le=600)
    refresh_s: float = Field(default=300, ge=1)
    claims: Claims = Claims()
    default_project: str | None = DEFAULT_PROJECT
    default_limits: list[dict[str, Any]] = Field(default_factory=list)

    @field_validator("default_limits")
    @classmethod
    def _are_limits(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        parse_limits(value)
        return value
