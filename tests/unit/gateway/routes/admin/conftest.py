"""The gateway's app on a real database, and without Ray: nothing here reaches an engine."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import httpx
import pytest

from auth.access import Access
from auth.keys import create_key
from auth.limiter import OwnLeases
from auth.store import Store, sqlite_url
from gateway.app import Api, create_app
from gateway.config.settings import Bounds, GatewaySettings, ModelEntry
from gateway.request.services import Services
from gateway.responses.background import Background
from gateway.responses.late_ends import LateEnds
from gateway.routing.models import ModelTable


@dataclass(frozen=True)
class House:
    """A gateway without engines."""

    app: Api
    access: Access
    admin_id: str
    admin_secret: str

    def client(self, secret: str | None) -> httpx.AsyncClient:
        """Return a client that shows a key."""
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway", headers=headers)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    url = sqlite_url(tmp_path)
    store = Store(url)
    await store.migrate()
    key, secret = await create_key(store, name="root", scopes=["admin"])
    await store.close()
    access = await Access.open(url, OwnLeases(), replica="gateway-1")
    settings = GatewaySettings(
        models=[ModelEntry(name="echo", engine="echo")], home=tmp_path, bounds=Bounds(max_body_bytes=4096)
    )
    parts: dict[str, Any] = {part.name: None for part in fields(Services)}  # what only generating requests need
    parts |= {"settings": settings, "access": access, "models": ModelTable.of(settings)}
    services = Services(**parts)
    background = Background(access.store, "gateway-1", settings.responses, LateEnds(tmp_path / "responses"))
    yield House(create_app(services, background), access, key.id, secret)
    await access.close()


@pytest.fixture
async def admin(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.client(house.admin_secret) as client:
        yield client


def error_of(response: httpx.Response) -> dict[str, Any]:
    """Return the error in an answer that keeps the contract."""
    assert response.headers["content-type"] == "application/json"
    assert "x-request-id" in response.headers
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)
