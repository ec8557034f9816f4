"""``raygate models``: what a key may use."""

import json

import typer

from gateway.cli.http import Unreachable, get
from gateway.cli.options import DEFAULT_BASE_URL, ApiKey, AsJson, BaseUrl, fail


def models(api_key: ApiKey = "", base_url: BaseUrl = DEFAULT_BASE_URL, as_json: AsJson = False) -> None:
    """List the models that a key may use.

    Example: RAYGATE_API_KEY=sk-... raygate models
    """
    try:
        answer = get(base_url, "/v1/models", api_key=api_key)
    except Unreachable as error:
        fail(error)
    if answer.status != 200:
        fail(answer.body["error"]["message"])
    data = answer.body["data"]
    typer.echo(json.dumps(data, indent=2) if as_json else "\n".join(model["id"] for model in data))
