"""Figures by model: names that clients make up are no models."""

from gateway.request.metrics import Metrics


def test_made_up_names_share_one_series_of_each_figure() -> None:
    metrics = Metrics("gateway-1", ["echo", "assistant"])
    for name in ("echo", "assistant", *(f"made-up-{number}" for number in range(10_000))):
        metrics.begin(name)
        metrics.end(name, status=404, code="model_not_found", first_token_s=None, total_s=0.001)
    lines = metrics.exposition().decode().splitlines()
    requests = [line for line in lines if line.startswith("raygate_requests_total{")]
    assert sorted(line.split('model="')[1].split('"')[0] for line in requests) == ["assistant", "echo", "unknown"]
    assert [line.rpartition(" ")[2] for line in requests if "unknown" in line] == ["10000.0"]
    assert not any("made-up" in line for line in lines)
