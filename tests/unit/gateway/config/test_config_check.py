from pathlib import Path

import pytest
from pydantic import BaseModel

import engines.echo.args
import engines.pipeline.args
import engines.pipeline.retrieval
import engines.upstream
from gateway.config.check import load
from gateway.config.file import ConfigError, Mistake
from gateway.config.schema import Config, EchoArgs, PipelineArgs, Replicas, RetrievalArgs, UpstreamArgs
from gateway.config.settings import WeightedModel

ECHO = "models: [{name: echo, engine: echo}]\n"
PIPELINE = "models: [{{name: a, engine: pipeline, engine_args: {{class: 'shop:Signed', models: {models}}}}}]"
RETRIEVAL = """models:
  - {{name: echo, engine: echo}}
  - {{name: minilm, engine: vllm, source: embedded:minilm, task: embed}}
  - {{name: docs, engine: pipeline, engine_args: {{class: "engines.pipeline.retrieval:Retrieval", models: {models}}}}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "raygate.yaml"
    path.write_text(text)
    return path


def loaded(folder: Path, text: str) -> Config:
    return load(write(folder, text))


def mistakes(folder: Path, text: str) -> list[Mistake]:
    with pytest.raises(ConfigError) as raised:
        load(write(folder, text))
    return raised.value.mistakes


def test_the_example_of_the_design_loads(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
models:
  - name: smollm2
    engine: vllm
    source: embedded:smollm2
    engine_args: {max_model_len: 2048}
    replicas: {min: 1, max: 4, target_ongoing_requests: 16}
    resources: {num_cpus: 1, num_gpus: 0}
  - {name: backup, engine: upstream, engine_args: {base_url: "https://example.org/v1", api_key_env: BACKUP_KEY}}
  - name: assistant
    route: [{model: smollm2, weight: 100}]
    fallback: [backup]
""",
    )
    assert [model.name for model in config.models] == ["smollm2", "backup"]
    assert config.aliases[0].route == [WeightedModel(model="smollm2", weight=100)]
    assert config.models[0].replicas.most == 4


def test_a_plain_number_fixes_the_replicas(tmp_path: Path) -> None:
    replicas = loaded(tmp_path, "models: [{name: echo, engine: echo, replicas: 2}]").models[0].replicas
    assert (replicas.min, replicas.most) == (2, 2)


def test_a_minimum_alone_is_the_maximum_as_well() -> None:
    assert Replicas(min=3).most == 3


def test_the_gateway_takes_on_more_than_an_engine(tmp_path: Path) -> None:
    config = loaded(tmp_path, ECHO + "gateway: {replicas: {min: 2}}")
    assert config.gateway.replicas.max_ongoing_requests == 10_000


def test_every_mistake_is_found_in_one_go(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """
models:
  - name: a
    engine: vlm
  - name: a
    engine: vllm
    replicas: {mni: 1}
default_model: b
gateway: {port: 99999}
""",
    )
    assert [(it.at.line, it.key) for it in found if it.at] == [
        (4, "models[0].engine"),
        (5, "models[1].name"),
        (5, "models[1].source"),
        (7, "models[1].replicas.mni"),
        (8, "default_model"),
        (9, "gateway.port"),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a", ": got ['a']; it should be a mapping of keys to values"),
        ("default_model: echo", "1:1: models: is missing"),
        ("models: []", "1:1: models: got []; it"),
        ("models: [7]", "1:10: models[0]: got 7; it should be a mapping"),
        ("models: [{engine: echo}]", "1:10: models[0].name: is missing"),
        (
            "models: [{name: a, engine: echoo}]",
            "did you mean echo? allowed: vllm, transformers, upstream, pipeline, echo",
        ),
        ("models: [{name: a b, engine: echo}]", "got 'a b'; allowed: up to 128 letters"),
        ("models: [{name: a, engine: vllm}]", "models[0].source: is missing, and vllm needs one; give embedded:NAME"),
        ("models: [{name: a, engine: vllm, source: 'embedded:'}]", "names no model; as in embedded:smollm2"),
        ("models: [{name: a, engine: echo, source: x}]", "echo loads no model; leave it out"),
        ("models: [{name: a, engine: upstream}]", "models[0].engine_args.base_url: is missing"),
        ("models: [{name: a, engine: upstream, engine_args: {base_url: x}}]", "an http:// or https:// address"),
        (
            "models: [{name: a, engine: upstream, engine_args: {base_url: 'http://x', api_key: y}}]",
            "engine_args.api_key: unknown key; did you mean api_key_env?",
        ),
        (
            PIPELINE.format(models="{writer: b}"),
            "models[0].engine_args.models.writer: no engine serves a model 'b'",
        ),
        (PIPELINE.format(models="{writer: a}"), "writer: 'a' asks 'a' in turn: a circle has no end"),
        (ECHO + "gateway: {trusted_proxies: [10.1.1.1/8]}", "gateway.trusted_proxies: 10.1.1.1/8 has host bits set"),
        ("models: [{name: a, engine: pipeline}]", "models[0].engine_args.class: is missing"),
        ("models: [{name: a, engine: pipeline, engine_args: {class: shop}}]", "module:Name"),
        (
            RETRIEVAL.format(models="{chat: echo, embed: echo}"),
            "embed: 'echo' is for another task; it needs one with task: embed",
        ),
        (RETRIEVAL.format(models="{chat: echo}"), "engine_args.models.embed: is missing"),
        (
            RETRIEVAL.format(models="{chat: echo, embed: minilm}, pasages: 2"),
            "pasages: unknown key; did you mean passages?",
        ),
        ("models: [{name: a, engine: echo, replicas: true}]", "models[0].replicas: got True"),
        ("models: [{name: a, engine: echo, replicas: {min: 3, max: 2}}]", "replicas: max is 2 but min is 3"),
        ("models: [{name: a, engine: echo}, {name: b, route: [{model: c}]}]", "no engine serves a model 'c'"),
        ("models: [{name: a, engine: echo}, {name: b, route: [{model: b}]}]", "no engine serves a model 'b'"),
        ("models: [{name: a, engine: echo}, {name: b, route: [{model: a}], fallback: [aa]}]", "did you mean a?"),
        ("models: [{name: a, engine: echo}, {name: b, route: []}]", "models[1].route: got []"),
        ("models: [{name: a/b, engine: echo}, {name: a--b, engine: echo}]", "'a--b' is taken: line 1 uses 'a/b'"),
        (ECHO + "gateway: {cache_sharing: {a: [proj_1], b: [proj_1]}}", "proj_1: a project is in one group at most"),
        (
            ECHO + "identity: {issuer: i, audience: a, jwks: j, algorithms: [HS256]}",
            "identity.algorithms[0]: got 'HS256'",
        ),
        (ECHO + "identity: {issuer: i, audience: a, jwks: j, default_limits: [{of: x}]}", "of: one of requests"),
        ("models: [{name: a, engine: echo, price: {prompt: -1}}]", "models[0].price.prompt: got -1"),
        ("models: [{name: a, engine: echo, price: {cached: .inf}}]", "models[0].price.cached: got inf"),
        ("models: [{name: a, engine: echo, price: {promt: 1}}]", "did you mean prompt?"),
        (ECHO + "default_model: ech", "did you mean echo? allowed: echo"),
        (ECHO + "gateway: {replicas: 0}", "gateway.replicas.min: got 0"),
        ("models: [{name: e, engine: echo, replicas: {max_queued_requests: 0}}]", "-1 for no limit, or at least 1"),
        (ECHO + "gatway: {}", "gatway: unknown key; did you mean gateway?"),
        (
            ECHO + "gateway: {bounds: {max_body: 5}}",
            "gateway.bounds.max_body: unknown key; did you mean max_body_bytes?",
        ),
    ],
)
def test_a_mistake_says_what_is_wrong_and_what_is_allowed(tmp_path: Path, text: str, line: str) -> None:
    assert any(line in str(mistake) for mistake in mistakes(tmp_path, text))


def test_a_folder_beside_the_file_becomes_absolute(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    model = loaded(tmp_path, "models: [{name: a, engine: vllm, source: weights}]").models[0]
    assert model.source == str(tmp_path / "weights")
    assert model.folder == tmp_path / "weights"


def test_an_issuers_keys_may_lie_beside_the_file(tmp_path: Path) -> None:
    identity = loaded(tmp_path, ECHO + "identity: {issuer: i, audience: a, jwks: keys.json}").identity
    assert identity is not None
    assert identity.jwks == str(tmp_path / "keys.json")


def test_what_begins_like_a_path_is_one_even_when_it_is_missing(tmp_path: Path) -> None:
    model = loaded(tmp_path, "models: [{name: a, engine: vllm, source: ./none}]").models[0]
    assert model.folder == tmp_path / "none"


@pytest.mark.parametrize("source", ["org/model", "embedded:smollm2"])
def test_a_hub_id_or_an_embedded_name_stays_as_it_is(tmp_path: Path, source: str) -> None:
    model = loaded(tmp_path, f"models: [{{name: a, engine: vllm, source: '{source}'}}]").models[0]
    assert (model.source, model.folder) == (source, None)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (EchoArgs, engines.echo.args.EchoArgs),
        (UpstreamArgs, engines.upstream.UpstreamArgs),
        (PipelineArgs, engines.pipeline.args.PipelineArgs),
        (RetrievalArgs, engines.pipeline.retrieval.RetrievalArgs),
    ],
)
def test_the_checked_arguments_are_those_of_the_engine(ours: type[BaseModel], theirs: type[BaseModel]) -> None:
    assert set(ours.model_fields) == set(theirs.model_fields)
