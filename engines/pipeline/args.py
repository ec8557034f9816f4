"""The settings that every pipeline has."""

from pydantic import BaseModel, ConfigDict, Field


class PipelineArgs(BaseModel):
    """The ``engine_args`` of a pipeline; its class may have more.

    Attributes:
        class_path: ``class``, where the pipeline's class is found, as ``module:Name``.
        models: the models that it asks, by their roles in it.
        otlp_endpoint: the base URL of an OpenTelemetry collector; ``None`` means what ``OTEL_EXPORTER_OTLP_ENDPOINT``
            says, if anything.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    class_path: str = Field(alias="class", pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    models: dict[str, str] = Field(default_factory=dict)
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
