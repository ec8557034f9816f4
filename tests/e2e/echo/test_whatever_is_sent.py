"""Every documented operation, with whatever its schema allows and forbids: no 5xx, and one shape of refusal."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from tests.e2e.running import KEY, Raygate

FEW = 16
"""Tokens that an echo is let say: it has no context to bound it."""


@pytest.fixture(scope="module")
def openapi(echo: Raygate) -> Any:
    return schemathesis.openapi.from_url(f"{echo.url}/openapi.json")


def each_operation(openapi: Any, mode: GenerationMode, examples: int, check: Callable[[Case], None]) -> Iterator[str]:
    """Try every operation with made-up requests, and yield what was found wrong."""
    for operation in (result.ok() for result in openapi.get_all_operations()):
        run = given(case=operation.as_strategy(generation_mode=mode))(check)
        quiet = settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        try:
            quiet(run)()
        except Unsatisfiable:  # an operation that takes anything has nothing to be wrong
            continue
        except Exception as error:  # each operation's own finding, so that one hides no other
            yield f"{operation.label}: {error}"


def refused_in_form(case: Case) -> None:
    response = bounded(case).call(headers={"authorization": f"Bearer {KEY}"}, timeout=30)
    assert response.status_code < 500, response.text
    assert response.headers["x-request-id"]
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/json"], response.headers
        error = response.json()["error"]
        assert {"message", "type", "param", "code"} <= set(error), error
        assert len(error["message"]) <= 700


def unauthenticated(case: Case) -> None:
    response = case.call(timeout=30)
    public = case.operation.path in {"/healthz", "/readyz"}
    assert response.status_code == (200 if public else 401), response.text


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_is_sent_is_no_server_error(openapi: Any, echo: Raygate, mode: GenerationMode) -> None:
    assert list(each_operation(openapi, mode, 8, refused_in_form)) == []
    with echo.client() as http:
        assert http.get("/readyz").json()["status"] == "ready"
        assert (
            http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "a"}]}).status_code == 200
        )


def test_only_health_is_told_without_a_key(openapi: Any) -> None:
    assert list(each_operation(openapi, GenerationMode.POSITIVE, 1, unauthenticated)) == []


def bounded(case: Case) -> Case:
    body: Any = case.body
    if isinstance(body, dict):
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
            if isinstance(body.get(name), int) and body[name] > FEW:
                body[name] = FEW
    return case
