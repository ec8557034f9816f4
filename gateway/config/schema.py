"""The YAML file of an operator: which models there are, and how the gateway runs them.

Example::

    models:
      - name: smollm2              # what clients put in "model"
        engine: vllm               # vllm | transformers | upstream | pipeline | echo
        source: embedded:smollm2   # or a local folder, or a hub id
        engine_args: {max_model_len: 2048}
        replicas: {min: 1, max: 4, target_ongoing_requests: 16}
        resources: {num_cpus: 1, num_gpus: 0}
        price: {prompt: 0.10, completion: 0.40, cached: 0.05}  # per million tokens
      - name: assistant            # an alias: weights for canaries, order for fallback
        route: [{model: smollm2, weight: 100}]
        fallback: [backup]
    default_model: smollm2

``gateway.config.check.load`` reads it; ``gateway.config.compile`` turns it into Ray Serve's own config.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from auth.identity import Identity
from engines.base import Task
from gateway.config.settings import (
    NAME_PATTERN,
    AliasEntry,
    BatchSettings,
    Bounds,
    CacheSharing,
    FileSettings,
    OnRevoke,
    ResponseSettings,
    TrustedProxies,
    UnknownFields,
)

EMBEDDED = "embedded:"
"""How ``source`` begins for a model that comes with a Python package."""

MODEL_TAG, ALIAS_TAG = "<model>", "<alias>"
"""How pydantic names the two kinds of entries in ``models`` when it reports an error in one."""

EngineKind = Literal["vllm", "transformers", "upstream", "pipeline", "echo"]
WITH_WEIGHTS = frozenset({"vllm", "transformers"})
"""The engines that load a model, and so need a ``source``."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(_Section):
    """How many replicas run, and how much each takes on. A plain number fixes ``min`` and ``max`` to it.

    Attributes:
        min: replicas that always run.
        max: replicas that run under load; ``None`` means ``min``.
        target_ongoing_requests: requests per replica that autoscaling steers for.
        max_ongoing_requests: requests that one replica works on at a time.
        max_queued_requests: requests that one replica holds back beyond these before it answers 503; -1 for no limit.
    """

    min: int = Field(default=1, ge=1, le=1024)
    max: int | None = Field(default=None, ge=1, le=1024)
    target_ongoing_requests: float = Field(default=16, gt=0)
    max_ongoing_requests: int = Field(default=256, ge=1)
    max_queued_requests: int = Field(default=256, ge=-1)

    @field_validator("max_queued_requests")
    @classmethod
    def _serve_knows_no_zero(cls, value: int) -> int:
        if value == 0:
            raise ValueError("Ray Serve allows -1 for no limit, or at least 1")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most < self.min:
            raise ValueError(f"max is {self.most} but min is {self.min}")
        return self

    @property
    def most(self) -> int:
        """The largest number of replicas that may run."""
        return self.max if self.max is not None else self.min


class GatewayReplicas(Replicas):
    """How many gateway processes run; they relay, so each takes on far more than an engine does."""

    max_ongoing_requests: int = Field(default=10_000, ge=1)
    max_queued_requests: int = Field(default=-1, ge=-1)


def _from_number(value: Any) -> Any:
    # YAML's true is an int to Python, but no number of replicas.
    return {"min": value, "max": value} if isinstance(value, int) and not isinstance(value, bool) else value


_ALSO_A_NUMBER = BeforeValidator(_from_number)


class Resources(_Section):
    """What Ray sets aside for each replica of a model.

    Attributes:
        num_cpus: cores, and threads to compute with; ``None`` means 1 for engines with weights and 0 for the others.
        num_gpus: GPUs; a fraction shares one.
    """

    num_cpus: float | None = Field(default=None, ge=0)
    num_gpus: float = Field(default=0, ge=0)


Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ModelPrice(_Section):
    """Money per million tokens, in whatever currency the operator counts: for budgets and the ledger.

    Attributes:
        prompt: for prompt tokens.
        completion: for completion tokens.
        cached: for prompt tokens that came from the prefix cache; ``None`` charges them as ``prompt``.
    """

    prompt: Money = 0
    completion: Money = 0
    cached: Money | None = None


class ModelConfig(_Section):
    """A model that an engine of this cluster serves.

    Attributes:
        name: what clients put in ``model``.
        engine: the kind of engine.
        task: what the model is for: to generate text, to embed it, to score pairs of texts, or to transcribe speech.
        source: where the weights come from: ``embedded:NAME``, a folder (relative to the file), or a hub id.
        engine_args: the engine's own settings, handed to it as they are.
        replicas: how many, and how much each takes on.
        resources: what each replica needs.
        price: what its tokens cost; ``None`` means nothing.
    """

    name: str = Field(pattern=NAME_PATTERN)
    engine: EngineKind
    task: Task = "generate"
    source: str | None = Field(default=None, min_length=1)
    engine_args: dict[str, Any] = Field(default_factory=dict)
    replicas: Annotated[Replicas, _ALSO_A_NUMBER] = Replicas()
    resources: Resources = Resources()
    price: ModelPrice | None = None

    @property
    def folder(self) -> Path | None:
        """The folder that ``source`` names, once it is resolved; ``None`` when it is a hub id or embedded."""
        return Path(self.source) if self.source and self.source.startswith("/") else None

    @property
    def num_cpus(self) -> float:
        """Cores that Ray sets aside for one replica."""
        if self.resources.num_cpus is not None:
            return self.resources.num_cpus
        return 1 if self.engine in WITH_WEIGHTS else 0


class EchoArgs(_Section):
    """The ``engine_args`` of an echo model, as ``engines.echo`` explains them."""

    tokens_per_s: float | None = Field(default=None, gt=0)
    first_token_s: float = Field(default=0, ge=0)
    default_max_tokens: int = Field(default=64, ge=1)
    journal: Path | None = None


class UpstreamArgs(_Section):
    """The ``engine_args`` of an upstream model, as ``engines.upstream`` explains them."""

    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    model: str | None = Field(default=None, min_length=1)
    api_key_env: str | None = Field(default=None, min_length=1)
    connect_timeout_s: float = Field(default=5, gt=0)
    idle_timeout_s: float = Field(default=300, gt=0)
    total_timeout_s: float | None = Field(default=None, gt=0)


class PipelineArgs(_Section):
    """The ``engine_args`` of any pipeline, as ``engines.pipeline.args`` explains them; its class may have more."""

    model_config = ConfigDict(extra="allow", frozen=True)

    class_path: str = Field(alias="class", pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    models: dict[str, str] = Field(default_factory=dict)
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")


RETRIEVAL = "engines.pipeline.retrieval:Retrieval"
"""The pipeline that comes with Raygate."""


class RetrievalModels(_Section):
    """The models that retrieval-augmented chat asks."""

    chat: str
    embed: str


class RetrievalArgs(_Section):
    """The ``engine_args`` of retrieval-augmented chat, as ``engines.pipeline.retrieval`` explains them."""

    class_path: str = Field(alias="class")
    models: RetrievalModels
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    index: str | None = Field(default=None, min_length=1)
    passages: int = Field(default=4, ge=1, le=100)
    min_score: float = Field(default=0.2, ge=-1, le=1)
    context_characters: int = Field(default=4000, ge=100)
    passage_characters: int = Field(default=800, ge=100, le=20_000)
    overlap_characters: int = Field(default=200, ge=0, le=5_000)


def _kind_of_entry(entry: Any) -> str:
    is_alias = isinstance(entry, dict) and "engine" not in entry and ("route" in entry or "fallback" in entry)
    return ALIAS_TAG if is_alias else MODEL_TAG


Entry: TypeAlias = Annotated[
    Annotated[ModelConfig, Tag(MODEL_TAG)] | Annotated[AliasEntry, Tag(ALIAS_TAG)], Discriminator(_kind_of_entry)
]


class GatewayConfig(_Section):
    """The front door.

    Attributes:
        host: the interface; engines' own ports need all of them (0.0.0.0), a firewall narrows it.
        port: where clients connect.
        grpc_port: where clients connect that speak gRPC; ``None`` means nowhere.
        replicas: gateway processes.
        bounds: limits on what comes from outside.
        keep_alive_s: a comment is sent on a stream this often until its first event, and begins it; 0 turns it off.
        cache_sharing: groups of projects (by id) that share the engines' prefix caches; others have one of their own.
        on_revoke: whether an answer that has begun is cut when its key is revoked, or finished.
        unknown_fields: whether a field that an endpoint does not have is a 400, or is dropped and named in a header.
        trusted_proxies: networks of proxies before the gateway whose word for their clients' addresses is taken.
    """

    host: str = Field(default="0.0.0.0", min_length=1)
    port: int = Field(default=8000, ge=1, le=65535)
    grpc_port: int | None = Field(default=None, ge=1, le=65535)
    replicas: Annotated[GatewayReplicas, _ALSO_A_NUMBER] = GatewayReplicas()
    bounds: Bounds = Bounds()
    keep_alive_s: float = Field(default=15, ge=0)
    cache_sharing: CacheSharing = Field(default_factory=dict)
    on_revoke: OnRevoke = "cut"
    unknown_fields: UnknownFields = "refuse"
    trusted_proxies: TrustedProxies = Field(default_factory=list)


class Config(_Section):
    """A whole configuration file.

    Attributes:
        entries: the list ``models``: engine models and aliases, in the file's order.
        default_model: what a request without ``model`` asks for; ``None`` makes such a request a 400.
        gateway: the front door.
        database_url: SQLAlchemy URL of the key store; ``None`` means SQLite in ``RAYGATE_HOME``.
        identity: an issuer whose JSON Web Tokens are taken beside our own keys.
        files: where files are kept, and how much.
        batches: what batches may hold, what they cost, and how they make way for requests that somebody waits for.
        responses: what is remembered of responses, and what runs in the background.
    """

    entries: list[Entry] = Field(alias="models", min_length=1)
    default_model: str | None = None
    gateway: GatewayConfig = GatewayConfig()
    database_url: str | None = Field(default=None, min_length=1)
    identity: Identity | None = None
    files: FileSettings = FileSettings()
    batches: BatchSettings = BatchSettings()
    responses: ResponseSettings = ResponseSettings()

    @property
    def models(self) -> list[ModelConfig]:
        """The entries that an engine of this cluster serves."""
        return [entry for entry in self.entries if isinstance(entry, ModelConfig)]

    @property
    def aliases(self) -> list[AliasEntry]:
        """The entries that stand for other models."""
        return [entry for entry in self.entries if isinstance(entry, AliasEntry)]
