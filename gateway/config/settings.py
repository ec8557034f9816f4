"""What a gateway replica is told: the ``args`` of its Serve application.

``raygate config FILE --serve`` writes them from the YAML of ``gateway.config.schema``; a hand-written Serve config may
write them itself.
"""

import os
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auth.identity import Identity
from auth.refusal_limit import PER_MINUTE
from auth.usage import FREE, Price
from engines.base import Task, application_name, default_home

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"
"""What a model may be called: a name that survives URLs, logs and metrics as it is."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelEntry(_Frozen):
    """A model that an engine of this cluster serves.

    Attributes:
        name: what clients put in ``model``.
        engine: the kind of engine, for metrics and the ledger.
        task: what the model is for; with the engine it decides which endpoints the model serves.
        owned_by: shown in ``/v1/models``.
        context_length: tokens of prompt and completion together, where the operator has bounded them.
        source: where the weights and so the tokenizer come from; see :class:`engines.base.EngineSettings`.
        price: money per million tokens, for budgets and the ledger.
        default_max_tokens: tokens of an answer for which nobody sets a bound; ``None`` means those of the context.
    """

    name: str = Field(pattern=NAME_PATTERN)
    engine: str
    task: Task = "generate"
    owned_by: str = "raygate"
    context_length: int | None = None
    source: str | None = None
    price: Price = FREE
    default_max_tokens: int | None = None

    @property
    def application(self) -> str:
        """The Serve application that runs the model."""
        return application_name(self.name)


class WeightedModel(_Frozen):
    """One of the models that share an alias's traffic, in proportion to their weights."""

    model: str
    weight: int = Field(default=100, ge=1, le=1_000_000)


class AliasEntry(_Frozen):
    """A name that stands for other models: weights for canaries, order for fallback.

    Attributes:
        name: what clients put in ``model``.
        route: the models among which each request is drawn by weight.
        fallback: models tried in order when the drawn one cannot answer, before the first byte.
    """

    name: str = Field(pattern=NAME_PATTERN)
    route: list[WeightedModel] = Field(min_length=1)
    fallback: list[str] = Field(default_factory=list)


class Bounds(_Frozen):
    """Limits on everything that comes from outside. Sizes in bytes, times in seconds.

    ``assumed_completion_tokens`` are reserved for each choice of a request that sets no ``max_tokens``; its engine is
    told so, where a limit counts them. A key that a gateway replica refused more than ``max_refusals_per_minute`` is
    sent away before its next request is read.
    """

    max_body_bytes: int = Field(default=10 * 2**20, ge=1024)
    max_upload_bytes: int = Field(default=25 * 2**20, ge=1024)
    max_json_depth: int = Field(default=64, ge=4, le=512)
    max_messages: int = Field(default=2048, ge=1)
    max_choices: int = Field(default=128, ge=1)
    max_inputs: int = Field(default=2048, ge=1)
    max_stop_bytes: int = Field(default=1024, ge=1)
    max_tools: int = Field(default=128, ge=1)
    max_schema_bytes: int = Field(default=64 * 2**10, ge=256)
    assumed_completion_tokens: int = Field(default=1024, ge=1)
    max_refusals_per_minute: int = Field(default=PER_MINUTE, ge=1)
    body_timeout_s: float = Field(default=60, gt=0)
    queue_timeout_s: float = Field(default=30, gt=0)
    request_timeout_s: float = Field(default=600, gt=0)


class FileSettings(_Frozen):
    """Where files are kept, and how much. Sizes in bytes, times in seconds.

    Attributes:
        url: a folder, or a URL that fsspec knows (``s3://bucket/prefix``); ``None`` means ``files`` in the home.
        options: what fsspec's file system for that URL takes.
        max_bytes: the largest file.
        project_quota_bytes: what the files of one project may have in all.
        upload_timeout_s: how long an upload may take.
    """

    url: str | None = Field(default=None, min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)
    max_bytes: int = Field(default=512 * 2**20, ge=1)
    project_quota_bytes: int = Field(default=10 * 2**30, ge=1)
    upload_timeout_s: float = Field(default=600, gt=0)


class BatchSettings(_Frozen):
    """What batches may hold, what they cost, and how they make way for requests that somebody waits for.

    Attributes:
        discount: the share of a model's price that a batch's lines are not charged.
        max_lines: lines of one batch; also inputs to be embedded, over all of its lines.
        max_active: batches of one project that have not ended.
        concurrency: lines of one model that run at a time while nobody else uses it.
        quiet_s: nobody uses a model once nobody has for so long.
        busy_share: the share of the time in which one line may run beside somebody's requests; 0 for never.
        busy_requests: where as many requests of others are in a model's engines, no line runs beside them.
    """

    discount: float = Field(default=0.5, ge=0, le=1)
    max_lines: int = Field(default=50_000, ge=1, le=1_000_000)
    max_active: int = Field(default=100, ge=1)
    concurrency: int = Field(default=16, ge=1, le=4096)
    quiet_s: float = Field(default=30, ge=0)
    busy_share: float = Field(default=0.2, ge=0, le=1)
    busy_requests: int = Field(default=8, ge=1)


class ResponseSettings(_Frozen):
    """What is remembered of responses, and what runs in the background. Sizes in bytes, times in seconds.

    Attributes:
        keep_s: how long a response is kept; longer where another continues it.
        max_bytes: what a request's ``input`` may have to be stored.
        max_turns: responses that may continue each other.
        max_per_project: responses that a project keeps; the oldest beyond it go.
        max_running: responses that one gateway replica runs in the background at a time.
    """

    keep_s: float = Field(default=30 * 86_400, gt=0)
    max_bytes: int = Field(default=4 * 2**20, ge=1024)
    max_turns: int = Field(default=512, ge=1)
    max_per_project: int = Field(default=100_000, ge=1)
    max_running: int = Field(default=256, ge=1)


def _one_group_each(groups: dict[str, list[str]]) -> dict[str, list[str]]:
    members = [project for group in groups.values() for project in group]
    twice = sorted({project for project in members if members.count(project) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)}: a project is in one group at most")
    return groups


CacheSharing = Annotated[dict[str, list[str]], AfterValidator(_one_group_each)]
"""The projects that share a prefix cache, as ids, by the name of their group."""


def _networks(written: list[str]) -> list[str]:
    for network in written:
        ip_network(network)  # its ValueError says what is wrong
    return written


TrustedProxies = Annotated[list[str], AfterValidator(_networks)]
"""Addresses and networks (``192.0.2.7``, ``10.0.0.0/8``) of proxies whose ``X-Forwarded-For`` is believed."""


OnRevoke = Literal["cut", "finish"]
UnknownFields = Literal["refuse", "drop"]


def _database_url() -> str | None:
    path = os.environ.get("RAYGATE_DATABASE_URL_FILE")
    return os.environ.get("RAYGATE_DATABASE_URL") or (Path(path).read_text().strip() if path else None)


class GatewaySettings(_Frozen):
    """Everything a gateway replica needs to know.

    Attributes:
        models: the models of this cluster.
        aliases: further names, each standing for one or several models.
        default_model: what a request without ``model`` asks for; ``None`` makes such a request a 400.
        bounds: limits on what comes from outside.
        keep_alive_s: a comment is sent on a stream this often until its first event, and begins it; 0 turns it off.
        cache_sharing: groups of projects (by id) that share the engines' prefix caches; others have one of their own.
        on_revoke: whether an answer that has begun is cut when its key is revoked, or finished.
        unknown_fields: whether a field that an endpoint does not have is a 400, or is dropped and named in a header.
        trusted_proxies: networks of proxies whose word for their clients' addresses is taken.
        home: the folder of the database and the internal token.
        database_url: SQLAlchemy URL of the key store, by default ``RAYGATE_DATABASE_URL`` or what stands in the file
            ``RAYGATE_DATABASE_URL_FILE``; ``None`` means SQLite in ``home``.
        identity: an issuer whose tokens are taken beside our own keys.
        files: where files are kept, and how much.
        batches: what batches may hold, what they cost, and how they make way.
        responses: what is remembered of responses, and what runs in the background.
        created: Unix seconds, shown in ``/v1/models``; by default the time at which the gateway was deployed.
    """

    models: list[ModelEntry] = Field(min_length=1)
    aliases: list[AliasEntry] = Field(default_factory=list)
    default_model: str | None = None
    bounds: Bounds = Field(default_factory=Bounds)
    keep_alive_s: float = Field(default=15, ge=0)
    cache_sharing: CacheSharing = Field(default_factory=dict)
    on_revoke: OnRevoke = "cut"
    unknown_fields: UnknownFields = "refuse"
    trusted_proxies: TrustedProxies = Field(default_factory=list)
    home: Path = Field(default_factory=default_home)
    database_url: str | None = Field(default_factory=_database_url)
    identity: Identity | None = None
    files: FileSettings = Field(default_factory=FileSettings)
    batches: BatchSettings = Field(default_factory=BatchSettings)
    responses: ResponseSettings = Field(default_factory=ResponseSettings)
    created: int = Field(default_factory=lambda: int(time.time()))
