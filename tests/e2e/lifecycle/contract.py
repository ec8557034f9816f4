"""What every error owes its reader (WIRE.md C2)."""

import httpx


def error_of(response: httpx.Response) -> dict[str, object]:
    """Return the error of a response, which is in the contract's shape."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)
