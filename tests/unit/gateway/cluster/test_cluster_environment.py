from collections.abc import Collection
from pathlib import Path

from gateway.cluster.environment import cluster_environment
from gateway.config.settings import Bounds

RUN = Path("/tmp/raygate-abcdefgh")
LOWEST, HIGHEST = "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"
STATS = "RAY_SERVE_HAPROXY_STATS_PORT"
PORTS = {STATS: "23002", LOWEST: "23005", HIGHEST: "25999"}


def environment(
    inherited: dict[str, str] | None = None, *, offline: bool = True, providers_keys: Collection[str] = ()
) -> dict[str, str]:
    return cluster_environment(
        inherited or {},
        home=Path("/home/raygate"),
        run=RUN,
        ports=PORTS,
        bounds=Bounds(),
        offline=offline,
        providers_keys=providers_keys,
    )


def test_ray_serve_is_told_of_the_runs_own_ports() -> None:
    assert environment().items() >= PORTS.items()


def test_an_operator_who_sets_a_port_of_replicas_sets_their_whole_range() -> None:
    assert environment({LOWEST: "30500"}).items() >= {LOWEST: "30500", STATS: "23002"}.items()
    assert HIGHEST not in environment({LOWEST: "30500"})


def test_haproxys_socket_fits_into_a_unix_address() -> None:
    # Ray puts a folder of the node's id between, and HAProxy a suffix of its own behind while it starts.
    folder, _, name = environment()["RAY_SERVE_HAPROXY_SOCKET_PATH"].rpartition("/")
    assert len(f"{folder}/{'f' * 56}/{name}.1234567.tmp") <= 107


def test_another_cluster_in_the_shell_is_ignored() -> None:
    assert "RAY_ADDRESS" not in environment({"RAY_ADDRESS": "10.0.0.1:6379"})


def test_the_operators_settings_win_over_our_defaults() -> None:
    assert environment({"RAY_SERVE_HAPROXY_NBTHREAD": "7"})["RAY_SERVE_HAPROXY_NBTHREAD"] == "7"


def test_the_data_path_is_not_for_the_shell_to_change() -> None:
    assert environment({"RAY_SERVE_ENABLE_HA_PROXY": "0"})["RAY_SERVE_ENABLE_HA_PROXY"] == "1"


def test_the_hub_is_asked_only_when_a_model_comes_from_it() -> None:
    assert environment(offline=True)["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in environment(offline=False)


def test_a_reload_outlives_the_longest_request() -> None:
    assert int(environment()["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > 600


def test_a_grpc_message_is_no_larger_than_a_body_may_be() -> None:
    assert int(environment()["RAY_SERVE_GRPC_MAX_MESSAGE_SIZE"]) == Bounds().max_body_bytes


def test_each_run_has_a_token_of_its_own_for_rays_ports() -> None:
    first, second = environment({"RAY_AUTH_MODE": "disabled"}), environment()
    assert first["RAY_AUTH_MODE"] == "token"
    assert len({first["RAY_AUTH_TOKEN"], second["RAY_AUTH_TOKEN"]}) == 2
    assert "RAY_AUTH_TOKEN" not in environment({"RAY_AUTH_TOKEN_PATH": "/run/secrets/ray"})


def test_secrets_that_no_process_below_needs_are_not_handed_on() -> None:
    told = environment({"RAYGATE_API_KEY": "sk-1", "RAYGATE_DATABASE_URL": "postgresql://user:secret@db/raygate"})
    assert not {"RAYGATE_API_KEY", "RAYGATE_DATABASE_URL"} & told.keys()


def test_a_secret_that_a_model_names_as_its_providers_key_is_handed_on() -> None:
    assert environment({"RAYGATE_API_KEY": "sk-1"}, providers_keys={"RAYGATE_API_KEY"})["RAYGATE_API_KEY"] == "sk-1"


def test_uvicorn_takes_nobodys_word_for_a_clients_address() -> None:
    assert environment({"FORWARDED_ALLOW_IPS": "*"})["FORWARDED_ALLOW_IPS"] == ""
