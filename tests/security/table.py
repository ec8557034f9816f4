"""Every endpoint, and every way past a rule that could lead through it: the table of ``docs/security.md``."""

from dataclasses import dataclass
from typing import Any

from gateway import paths
from gateway.batches.lines import ENDPOINTS as BATCH_ENDPOINTS

WAYS = ("limit", "bound", "grant", "revocation", "isolation")
"""Past a limit, past a bound on what is asked, to what was not granted, past the end of a key, to what is another's."""

ASKED = (*WAYS[:4],)
BODY = ("bound", "grant", "revocation")
"""A body is bounded, and whoever sends it slowly may lose the key meanwhile."""

MADE = (*BODY, "isolation")
LOOKED_AT = ("grant", "isolation")
FREE: tuple[str, ...] = ()

TABLE: dict[str, tuple[str, ...]] = {
    **{f"POST {path}": ASKED for path in (paths.CHAT, paths.COMPLETIONS, paths.EMBEDDINGS, paths.MESSAGES)},
    **{f"POST {path}": ASKED for path in (paths.COUNT_TOKENS, paths.RERANK, paths.SCORE, paths.TRANSCRIPTIONS)},
    **{f"POST {path}": ASKED for path in (paths.TOKENIZE, paths.DETOKENIZE)},
    f"POST {paths.RESPONSES}": WAYS,
    **{f"gRPC Chat/{method}": ASKED for method in ("Complete", "Stream")},
    **{f"batch line {path}": ASKED for path in BATCH_ENDPOINTS},
    "GET /v1/responses/{response_id}": LOOKED_AT,
    "DELETE /v1/responses/{response_id}": LOOKED_AT,
    "POST /v1/responses/{response_id}/cancel": LOOKED_AT,
    "GET /v1/responses/{response_id}/input_items": LOOKED_AT,
    "POST /v1/files": BODY,
    "GET /v1/files": LOOKED_AT,
    "GET /v1/files/{file_id}": LOOKED_AT,
    "DELETE /v1/files/{file_id}": LOOKED_AT,
    "GET /v1/files/{file_id}/content": (*LOOKED_AT, "revocation"),
    "POST /v1/batches": MADE,
    "GET /v1/batches": LOOKED_AT,
    "GET /v1/batches/{batch_id}": LOOKED_AT,
    "POST /v1/batches/{batch_id}/cancel": LOOKED_AT,
    "GET /v1/models": ("grant",),
    "GET /v1/models/{model}": ("grant",),
    "GET /v1/usage": LOOKED_AT,
    "GET /v1/limits": LOOKED_AT,
    "GET /metrics": ("grant",),
    "GET /healthz": FREE,
    "GET /readyz": FREE,
    "POST /admin/v1/projects": BODY,
    "GET /admin/v1/projects": ("grant",),
    "GET /admin/v1/projects/{id}": ("grant",),
    "PATCH /admin/v1/projects/{id}": BODY,
    "POST /admin/v1/projects/{id}/archive": ("grant",),
    "POST /admin/v1/projects/{id}/restore": ("grant",),
    "POST /admin/v1/keys": BODY,
    "GET /admin/v1/keys": ("grant",),
    "GET /admin/v1/keys/{id}": ("grant",),
    "PATCH /admin/v1/keys/{id}": BODY,
    "POST /admin/v1/keys/{id}/rotate": BODY,
    "POST /admin/v1/keys/{id}/revoke": ("grant",),
    "GET /admin/v1/usage": ("grant",),
    "GET /admin/v1/refusals": ("grant",),
    "GET /admin/v1/audit": ("grant",),
}
"""By endpoint, the ways that are tried: each test tries its way at every endpoint that has it here."""


@dataclass(frozen=True)
class Asking:
    """How a model is asked: the least that an endpoint needs."""

    model: str
    body: dict[str, Any]


HELLO = [{"role": "user", "content": "hello"}]
ASKING = {
    paths.CHAT: Asking("elsewhere", {"messages": HELLO}),
    paths.COMPLETIONS: Asking("elsewhere", {"prompt": "hello"}),
    paths.EMBEDDINGS: Asking("never-embed", {"input": "hello"}),
    paths.MESSAGES: Asking("elsewhere", {"messages": HELLO, "max_tokens": 5}),
    paths.COUNT_TOKENS: Asking("elsewhere", {"messages": HELLO}),
    paths.RERANK: Asking("never-score", {"query": "hello", "documents": ["there"]}),
    paths.SCORE: Asking("never-score", {"text_1": "hello", "text_2": "there"}),
    paths.TRANSCRIPTIONS: Asking("never-hear", {}),
    paths.TOKENIZE: Asking("never-tokens", {"prompt": "hello"}),
    paths.DETOKENIZE: Asking("never-tokens", {"tokens": [1]}),
    paths.RESPONSES: Asking("echo", {"input": "hello"}),
}


def endpoints_with(way: str, method: str = "") -> list[str]:
    """Return the endpoints at which a way is tried, of those whose name begins so."""
    return [name for name, ways in TABLE.items() if way in ways and name.startswith(method)]


def asked_with(way: str) -> list[str]:
    """Return the paths of the endpoints that models answer at which a way is tried."""
    return [path for path in ASKING if way in TABLE[f"POST {path}"]]


def rendered() -> str:
    """Return the table as ``docs/security.md`` has it."""
    head = ["| endpoint | " + " | ".join(WAYS) + " |", "|---|" + "---|" * len(WAYS)]
    return "\n".join([*head, *(f"| `{name}` | {_cells(ways)} |" for name, ways in TABLE.items())])


def _cells(ways: tuple[str, ...]) -> str:
    return " | ".join("held" if way in ways else "-" for way in WAYS)
