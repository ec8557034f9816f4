from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve._private.grpc_util import gRPCGenericServer
from ray.serve.config import gRPCOptions
from ray.serve.schema import ServeDeploySchema

from auth.usage import Price
from gateway.app import Gateway
from gateway.config.compile import serve_config, to_yaml
from gateway.config.schema import Config
from gateway.config.settings import GatewaySettings


def config(**fields: Any) -> Config:
    return Config.model_validate({"models": [{"name": "echo", "engine": "echo"}], **fields})


def model(**fields: Any) -> dict[str, Any]:
    entry = {"name": "m", "engine": "vllm", "source": "org/m", **fields}
    application = serve_config(config(models=[entry]))["applications"][1]
    return {**application, **application["deployments"][0]}


def test_the_gateway_comes_first_and_alone_has_a_route() -> None:
    first, second = serve_config(config())["applications"]
    assert (first["name"], first["route_prefix"]) == ("gateway", "/")
    assert (second["name"], second["route_prefix"]) == ("model-echo", None)


def test_ray_serve_takes_it_as_it_is() -> None:
    compiled = serve_config(config(gateway={"replicas": {"min": 1, "max": 3}}))
    assert ServeDeploySchema.model_validate(compiled).applications[0].import_path == "gateway.app:build"


def test_without_a_port_there_is_no_grpc() -> None:
    assert "grpc_options" not in serve_config(config())


async def test_ray_serve_finds_every_grpc_service_on_its_port() -> None:
    options = ServeDeploySchema.model_validate(serve_config(config(gateway={"grpc_port": 9000}))).grpc_options
    server = gRPCGenericServer(lambda **_: None)  # which wants a running loop
    for add in gRPCOptions(**options.model_dump()).grpc_servicer_func_callable:
        add(Gateway.func_or_class, server)
    assert options.port == 9000


def test_the_gateway_is_told_what_differs_from_its_defaults() -> None:
    compiled = serve_config(
        config(
            models=[{"name": "echo", "engine": "echo"}, {"name": "a", "route": [{"model": "echo"}]}],
            default_model="a",
            gateway={"bounds": {"max_messages": 5}, "cache_sharing": {"team": ["proj_a", "proj_b"]}},
            database_url="postgresql+asyncpg://db/raygate",
        )
    )
    args = compiled["applications"][0]["args"]
    assert args == {
        "models": [{"name": "echo", "engine": "echo", "default_max_tokens": 64}],
        "aliases": [{"name": "a", "route": [{"model": "echo"}]}],
        "default_model": "a",
        "database_url": "postgresql+asyncpg://db/raygate",
        "bounds": {"max_messages": 5},
        "cache_sharing": {"team": ["proj_a", "proj_b"]},
    }
    assert GatewaySettings.model_validate(args).bounds.max_messages == 5


def entry(**fields: Any) -> dict[str, Any]:
    """Return what the gateway is told of one model."""
    compiled = serve_config(config(models=[{"name": "m", **fields}]))
    return dict(compiled["applications"][0]["args"]["models"][0])


def test_the_gateway_is_told_where_a_tokenizer_lies() -> None:
    assert entry(engine="vllm", source="org/m") == {"name": "m", "engine": "vllm", "source": "org/m"}
    assert "source" not in entry(engine="echo")


def test_the_gateway_is_told_what_a_model_costs() -> None:
    told = entry(engine="echo", price={"prompt": 0.1, "completion": 0.4})
    assert told["price"] == {"prompt": 0.1, "completion": 0.4}
    assert GatewaySettings.model_validate({"models": [told]}).models[0].price == Price(0.1, 0.4, None)


def test_the_gateway_is_told_who_vouches_for_tokens() -> None:
    identity = {"issuer": "https://login.example.com/", "audience": "raygate", "jwks": "/etc/keys.json"}
    args = serve_config(config(identity={**identity, "leeway_s": 5}))["applications"][0]["args"]
    assert args["identity"] == {**identity, "leeway_s": 5}
    assert GatewaySettings.model_validate(args).identity is not None


def test_one_number_of_replicas_is_fixed() -> None:
    deployment = model(replicas=2)
    assert deployment["num_replicas"] == 2
    assert "autoscaling_config" not in deployment


def test_a_range_of_replicas_scales_by_ongoing_requests() -> None:
    deployment = model(replicas={"min": 1, "max": 4, "target_ongoing_requests": 8})
    assert deployment["autoscaling_config"] == {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 8}
    assert "num_replicas" not in deployment


def test_an_engine_with_weights_gets_a_core_unless_told_otherwise() -> None:
    assert model()["ray_actor_options"] == {"num_cpus": 1}
    assert model(resources={"num_cpus": 0.5, "num_gpus": 1})["ray_actor_options"] == {"num_cpus": 0.5, "num_gpus": 1}


def test_an_engine_is_told_its_model_source_and_arguments() -> None:
    application = model(engine_args={"max_model_len": 64})
    assert application["import_path"] == "engines.vllm:build"
    assert application["args"] == {"model": "m", "source": "org/m", "engine_args": {"max_model_len": 64}}


def upstream(name: str, key: str | None) -> dict[str, Any]:
    return {"name": name, "engine": "upstream", "engine_args": {"base_url": "http://x/v1", "api_key_env": key}}


def test_the_key_of_a_provider_is_kept_out_of_everybody_elses_processes() -> None:
    models = [upstream("a", "A_KEY"), upstream("b", "B_KEY"), upstream("c", None), {"name": "echo", "engine": "echo"}]
    compiled = serve_config(config(models=models))
    both = {"A_KEY": "", "B_KEY": ""}
    blank = {each["name"]: each["runtime_env"]["env_vars"] for each in compiled["applications"]}
    assert blank == {
        "gateway": both,
        "model-a": {"B_KEY": ""},
        "model-b": {"A_KEY": ""},
        "model-c": both,
        "model-echo": both,
    }
    assert ServeDeploySchema.model_validate(compiled)


def test_models_of_one_provider_share_its_key() -> None:
    compiled = serve_config(config(models=[upstream("a", "A_KEY"), upstream("b", "A_KEY")]))
    assert [each["name"] for each in compiled["applications"] if "runtime_env" in each] == ["gateway"]


def test_the_gateway_reads_its_databases_url_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://user:secret@db/raygate\n")
    monkeypatch.setenv("RAYGATE_DATABASE_URL_FILE", str(file))
    monkeypatch.delenv("RAYGATE_DATABASE_URL", raising=False)
    args = serve_config(config())["applications"][0]["args"]
    assert GatewaySettings.model_validate(args).database_url == "postgresql://user:secret@db/raygate"


def test_host_and_port_of_the_command_line_win() -> None:
    assert serve_config(config(), host="127.0.0.1", port=9)["http_options"] == {"host": "127.0.0.1", "port": 9}


def test_the_yaml_reads_back_as_it_was(tmp_path: Path) -> None:
    compiled = serve_config(config())
    text = to_yaml(compiled, "A heading\nof two lines")
    assert text.startswith("# A heading\n# of two lines\n")
    assert yaml.safe_load(text) == compiled


@pytest.mark.parametrize("name", ["org/model", "a.b:c"])
def test_an_application_name_holds_no_slash(name: str) -> None:
    compiled = serve_config(config(models=[{"name": name, "engine": "echo"}]))
    assert "/" not in compiled["applications"][1]["name"]
