"""What a running Raygate says of itself at ``/metrics``."""

import httpx
from prometheus_client.parser import text_string_to_metric_families


def figure(http: httpx.Client, name: str, model: str) -> float:
    """Return the sum of a model's samples."""
    families = text_string_to_metric_families(http.get("/metrics").raise_for_status().text)
    samples = [sample for family in families if family.name == name for sample in family.samples]
    return sum(sample.value for sample in samples if sample.labels["model"] == model)


def running(http: httpx.Client, model: str) -> float:
    """Return the engine's own count of running requests."""
    return figure(http, "raygate_engine_requests_running", model)
