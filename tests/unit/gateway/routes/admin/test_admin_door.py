"""Who may use the admin API, and how it answers whatever else comes."""

import httpx
import pytest
from sqlalchemy import text
from starlette.types import Message

from auth.keys import create_key
from tests.unit.gateway.routes.admin.conftest import House, error_of

KEYS = "/admin/v1/keys"
PATHS = (KEYS, "/admin/v1/projects", "/admin/v1/usage", "/admin/v1/audit")


@pytest.mark.parametrize("path", PATHS)
async def test_nobody_passes_without_a_key(house: House, path: str) -> None:
    async with house.client(None) as nobody, house.client("sk-of-nobody-that-we-know") as stranger:
        for client in (nobody, stranger):
            refused = await client.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            error_of(refused)


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_without_the_scope_is_refused(house: House, path: str) -> None:
    _, secret = await create_key(house.access.store, name="user", scopes=["inference", "read-usage"])
    await house.access.keys.refresh()
    async with house.client(secret) as user:
        refused = await user.get(path)
    assert refused.status_code == 403
    assert error_of(refused)["code"] == "permission_denied"


async def test_an_admin_key_is_no_key_for_inference(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/v1/models")).status_code == 403


async def test_who_may_not_come_in_has_no_body_read(house: House) -> None:
    async def receive() -> Message:
        raise AssertionError("the body was read")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": KEYS,
        "raw_path": KEYS.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
    }
    await house.app(scope, receive, send)
    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_value"),
        (b"\xff\xfe", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "missing_required_parameter"),
        (b'{"name": "' + b"x" * 5000 + b'"}', "application/json", 413, "request_too_large"),
        (b'{"name": ' + b"[" * 100 + b"]" * 100 + b"}", "application/json", 400, "invalid_value"),
        (b"name=x", "application/x-www-form-urlencoded", 415, None),
    ],
)
async def test_a_body_that_is_none_is_refused(
    admin: httpx.AsyncClient, content: bytes, media_type: str, status: int, code: str | None
) -> None:
    refused = await admin.post(KEYS, content=content, headers={"content-type": media_type})
    assert refused.status_code == status
    assert error_of(refused)["code"] == code


async def test_a_body_without_a_media_type_is_taken_for_json(admin: httpx.AsyncClient) -> None:
    assert (await admin.post(KEYS, content=b'{"name": "laptop"}')).status_code == 201


async def test_unknown_routes_and_methods_keep_the_contract(admin: httpx.AsyncClient) -> None:
    assert error_of(await admin.get("/admin/v1/nope"))["type"] == "invalid_request_error"
    refused = await admin.delete(KEYS)
    assert refused.status_code == 405
    assert set(refused.headers["allow"].replace(" ", "").split(",")) <= {"GET", "POST"}


async def test_without_its_tables_the_api_says_503_and_keys_go_on(house: House, admin: httpx.AsyncClient) -> None:
    _, secret = await create_key(house.access.store, name="user")
    await house.access.keys.refresh()
    async with house.access.store.writing() as connection:
        await connection.execute(text("DROP TABLE audit"))
    refused = await admin.post(KEYS, json={"name": "laptop"})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    error_of(refused)
    async with house.client(secret) as user:
        assert (await user.get("/v1/models")).status_code == 200


def test_the_schema_describes_every_admin_route_with_examples_and_errors(house: House) -> None:
    schema = house.app.openapi()
    operations = {
        (method, path): operation
        for path, methods in schema["paths"].items()
        if path.startswith("/admin/v1/") or path in ("/v1/usage", "/v1/limits")
        for method, operation in methods.items()
    }
    assert len(operations) == 17
    for (method, path), operation in operations.items():
        assert operation["summary"], path
        assert operation["security"] == [{"API key": []}], path
        assert {"400", "401", "403"} <= set(operation["responses"]), path
        assert "422" not in operation["responses"], path
        assert ("404" in operation["responses"]) == ("{id}" in path or (method, path) == ("post", KEYS)), path
    shown = ("KeyObject", "KeyWithSecret", "ProjectObject", "UsageObject", "ActionObject", "QuotaObject")
    sent = ("NewKey", "KeyChange", "Rotation", "NewProject", "ProjectChange")
    for name in (*shown, *sent):
        assert schema["components"]["schemas"][name]["example"], name
