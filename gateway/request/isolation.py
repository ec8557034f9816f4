"""Keeps the tenants of one engine apart.

vLLM computes the beginning of a prompt once and reuses it for whoever begins alike, so an answer's speed, and its
``cached_tokens``, would tell one project what another has asked. A prefix is shared only among requests of equal
``cache_salt``; the gateway derives it from the project.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson

SALTED = frozenset({"vllm", "pipeline"})
"""The engines that have a prefix cache and know ``cache_salt``, or hand it on to one that does."""


@dataclass(frozen=True)
class Isolation:
    """Derives each project's salt.

    Attributes:
        secret: what nobody outside the cluster knows; without it a client could guess the salt of another.
        groups: the sharing group of each project that is in one.
    """

    secret: bytes
    groups: Mapping[str, str]

    @classmethod
    def of(cls, secret: str, sharing: Mapping[str, Sequence[str]]) -> Self:
        """Return the isolation of projects, but for those that share a cache: ids by the name of their group."""
        return cls(secret.encode(), {project: group for group, members in sharing.items() for project in members})

    def salt(self, project: str, own: Any = None) -> str:
        """Return the ``cache_salt`` of a project's request.

        Args:
            project: its id.
            own: the client's own ``cache_salt``, which divides the project's cache further and opens no other.
        """
        group = self.groups.get(project)
        # As JSON, no two different questions are the same bytes.
        owner = orjson.dumps(["cache_salt", group is not None, group or project, own])
        return urlsafe_b64encode(hmac.new(self.secret, owner, hashlib.sha256).digest()).decode()
