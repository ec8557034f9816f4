"""What an engine does with another server's refusals, redirects and cookies."""

import httpx
import pytest

from tests.unit.engines.upstream.conftest import ASKED, Elsewhere, streamed
from tests.unit.engines.zoo import HELLO, LAST, STOP, events


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404])
async def test_a_provider_that_refuses_us_is_our_own_misconfiguration(
    client: httpx.AsyncClient, elsewhere: Elsewhere, status: int
) -> None:
    elsewhere.status, elsewhere.body = status, b'{"error": {"message": "key sk-SECRET of org-7"}}'
    answer = await client.post("/chat/completions", json=ASKED)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_misconfigured")
    assert "SECRET" not in answer.text


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("body", [b"<html>busy</html>", b'{"error": {"message": "busy"}}'])
async def test_how_long_to_wait_is_handed_on(
    client: httpx.AsyncClient, elsewhere: Elsewhere, status: int, body: bytes
) -> None:
    elsewhere.status, elsewhere.body, elsewhere.headers = status, body, {"retry-after": "7"}
    answer = await client.post("/chat/completions", json=ASKED)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")


async def test_a_cookie_never_goes_along_with_another_request(client: httpx.AsyncClient, elsewhere: Elsewhere) -> None:
    elsewhere.body, elsewhere.headers = events(*HELLO, STOP, LAST, "[DONE]"), {"set-cookie": "session=of-one-key"}
    await streamed(client)
    await streamed(client)
    assert "cookie" not in elsewhere.seen[-1].headers


async def test_a_redirect_within_the_server_is_followed_and_no_other(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    elsewhere.status, elsewhere.headers = 307, {"location": "https://elsewhere.invalid/v1/chat/completions"}
    answer = await client.post("/chat/completions", json=ASKED)
    assert answer.json()["error"]["code"] == "upstream_misconfigured"
    assert len([each for each in elsewhere.seen if each.method == "POST"]) == 1
