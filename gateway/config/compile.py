"""Turns a configuration into Ray Serve's own config file, which ``serve deploy`` accepts as it is.

The gateway is one application, and each model is one of its own without a public route: it can be added,
replaced, scaled or removed without touching its siblings.
"""

from collections.abc import Iterable
from typing import Any

import yaml

from engines.base import application_name
from gateway.config.schema import WITH_WEIGHTS, Config, EchoArgs, ModelConfig, Replicas

HEALTH_CHECK_PERIOD_S = 2
"""How soon Serve notices that an engine died."""

HEALTH_CHECK_TIMEOUT_S = 30
"""How long a replica may be too busy to answer a health check before it is replaced."""

GRPC_SERVICES = ["gateway.grpc.serving.add_services"]
"""What tells Ray Serve which gRPC methods the gateway has, and engines have not."""

_WAIT_LOOP_S = 0.5
"""How often a replica that is to stop looks whether its last request has ended."""


def serve_config(config: Config, *, host: str | None = None, port: int | None = None) -> dict[str, Any]:
    """Return the Ray Serve config that ``config`` stands for.

    Args:
        config: the checked configuration.
        host: overrides the configured interface.
        port: overrides the configured port.
    """
    grpc_port = config.gateway.grpc_port
    grpc = {"grpc_options": {"port": grpc_port, "grpc_servicer_functions": GRPC_SERVICES}} if grpc_port else {}
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": host or config.gateway.host, "port": port or config.gateway.port},
        **grpc,
        # The gateway writes one line of its own for each request.
        "logging_config": {"enable_access_log": False},
        "applications": [_gateway(config), *(_model(model, config) for model in config.models)],
    }


def to_yaml(compiled: dict[str, Any], heading: str = "") -> str:
    """Return a Ray Serve config as YAML in reading order, the same text for the same config."""
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    return comment + yaml.dump(compiled, sort_keys=False, allow_unicode=True, width=120, Dumper=_Plain)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _gateway(config: Config) -> dict[str, Any]:
    args: dict[str, Any] = {"models": [_entry(model) for model in config.models]}
    if config.aliases:
        args["aliases"] = [alias.model_dump(exclude_unset=True) for alias in config.aliases]
    args |= config.model_dump(include={"default_model", "database_url"}, exclude_none=True)
    told = {"bounds", "keep_alive_s", "cache_sharing", "on_revoke", "unknown_fields", "trusted_proxies"}
    args |= config.gateway.model_dump(include=told, exclude_defaults=True)
    for name in ("files", "batches", "responses"):
        if section := getattr(config, name).model_dump(exclude_defaults=True):
            args[name] = section
    if config.identity:
        args["identity"] = config.identity.model_dump(exclude_defaults=True)
    return {
        "name": "gateway",
        "route_prefix": "/",
        "import_path": "gateway.app:build",
        "args": args,
        **_without_keys_of(config.models),
        "deployments": [_deployment("gateway", config.gateway.replicas, config, {"num_cpus": 0})],
    }


def _entry(model: ModelConfig) -> dict[str, Any]:
    """Return what the gateway is told of a model; where the weights lie, there lies the tokenizer."""
    entry: dict[str, Any] = {"name": model.name, "engine": model.engine}
    entry |= model.model_dump(include={"task"}, exclude_defaults=True)
    if context_length := model.engine_args.get("max_model_len"):
        entry["context_length"] = context_length
    if model.source and model.engine in WITH_WEIGHTS:
        entry["source"] = model.source
    if model.engine == "echo":
        entry["default_max_tokens"] = EchoArgs.model_validate(model.engine_args).default_max_tokens
    if model.price:
        entry["price"] = model.price.model_dump(exclude_none=True)
    return entry


def _model(model: ModelConfig, config: Config) -> dict[str, Any]:
    args: dict[str, Any] = {"model": model.name, **model.model_dump(include={"task"}, exclude_defaults=True)}
    if model.source:
        args["source"] = model.source
    if model.engine_args:
        args["engine_args"] = model.engine_args
    needs = {"num_cpus": _number(model.num_cpus)}
    if model.resources.num_gpus:
        needs["num_gpus"] = _number(model.resources.num_gpus)
    return {
        "name": application_name(model.name),
        "route_prefix": None,
        "import_path": f"engines.{model.engine}:build",
        "args": args,
        **_without_keys_of(config.models, own=_api_key_env(model)),
        "deployments": [_deployment("engine", model.replicas, config, needs)],
    }


def _without_keys_of(models: Iterable[ModelConfig], own: str | None = None) -> dict[str, Any]:
    """Keep the keys of some models' providers out of an application's processes, which inherit Ray's environment."""
    keys = providers_keys(models) - {own}
    return {"runtime_env": {"env_vars": dict.fromkeys(sorted(keys), "")}} if keys else {}


def providers_keys(models: Iterable[ModelConfig]) -> set[str]:
    """Return the environment variables in which models' engines look for the keys of other servers."""
    return {name for model in models if (name := _api_key_env(model))}


def _api_key_env(model: ModelConfig) -> str | None:
    name: str | None = model.engine_args.get("api_key_env") if model.engine == "upstream" else None
    return name


def _deployment(name: str, replicas: Replicas, config: Config, needs: dict[str, float]) -> dict[str, Any]:
    return {
        "name": name,
        **_scale(replicas),
        "max_ongoing_requests": replicas.max_ongoing_requests,
        "max_queued_requests": replicas.max_queued_requests,
        "ray_actor_options": needs,
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        # A replica that is scaled away first ends what it has begun.
        "graceful_shutdown_timeout_s": _number(config.gateway.bounds.request_timeout_s),
        "graceful_shutdown_wait_loop_s": _WAIT_LOOP_S,
    }


def _scale(replicas: Replicas) -> dict[str, Any]:
    if replicas.min == replicas.most:
        return {"num_replicas": replicas.min}
    return {
        "autoscaling_config": {
            "min_replicas": replicas.min,
            "max_replicas": replicas.most,
            "target_ongoing_requests": _number(replicas.target_ongoing_requests),
        }
    }


def _number(value: float) -> float:
    """Write 1 rather than 1.0."""
    return int(value) if value == int(value) else value
