"""Tokens of a real issuer: keys of several kinds behind HTTP, and everything that is forged from them."""

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from auth import issuer_keys
from auth.access import Access
from auth.errors import Unauthenticated
from auth.identity import Claims, Identity
from auth.keys import Key, create_key
from auth.limiter import OwnLeases
from auth.limits import Limit
from auth.projects import Project, create_project, update_project
from auth.store import Store
from auth.tokens import Tokens, token_in
from tests.issuer import AUDIENCE, EC, ISSUER, RSA, STRANGER, altered, confused, published, token, unsigned
from tests.unit.auth.test_snapshot import eventually

LIMIT = {"of": "tokens", "per": "minute", "amount": 1000}


class Issuer:
    """An HTTP server that publishes keys."""

    def __init__(self) -> None:
        self.status, self.document, self.asked = 200, published(rsa=RSA, ec=EC), 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                self.end_headers()
                self.wfile.write(issuer.document)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    thread = threading.Thread(target=issuer.server.serve_forever, args=[0.01])
    thread.start()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()
    thread.join()


@pytest.fixture
async def project(store: Store) -> Project:
    return await create_project(store, name="research")


@pytest.fixture
async def access(
    store: Store, database_url: str, project: Project, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Access]:
    monkeypatch.setattr(issuer_keys, "AGAIN_S", 0.05)
    access = await Access.open(database_url, OwnLeases(), replica="gateway-1", identity=identity_of(issuer))
    yield access
    await access.close()


def identity_of(issuer: Issuer, **changed: Any) -> Identity:
    known = Identity(
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks=issuer.url,
        claims=Claims(project="department", scopes="scope", models="models", limits="limits"),
        default_limits=[LIMIT],
        refresh_s=60,
        leeway_s=5,
    )
    return known.model_copy(update=changed)


def identify(access: Access, shown: str) -> Key:
    return access.identify(f"Bearer {shown}")


def holds(access: Access, shown: str) -> bool:
    try:
        identify(access, shown)
    except Unauthenticated as refusal:
        assert not refusal.missing
        return False
    return True


async def test_claims_say_what_an_identity_may_do(access: Access, project: Project) -> None:
    own = {"of": "requests", "per": "minute", "amount": 5}
    key = identify(
        access,
        token(department="research", scope="openid inference read-usage", models=["smol*"], limits=[own], iat=1),
    )
    assert (key.project, key.scopes, key.models) == (project.id, ("inference", "read-usage"), ("smol*",))
    assert key.limits == (Limit("requests", "minute", 5),)
    assert (key.name, len(key.id)) == ("ada", 36)
    assert access.counts_prompts(key, model="m") is False


async def test_without_claims_it_has_the_defaults(access: Access) -> None:
    key = identify(access, token())
    assert (key.project, key.scopes, key.models) == ("default", ("inference",), ("*",))
    assert key.limits == (Limit("tokens", "minute", 1000),)


@pytest.mark.parametrize("limits", [{}, "", "requests", [""], [[]], [None], 0, False, {"of": "requests"}], ids=repr)
async def test_a_claim_of_limits_that_is_no_list_of_limits_fails_closed(access: Access, limits: object) -> None:
    assert not holds(access, token(limits=limits))


async def test_a_person_is_one_identity_whatever_the_token(access: Access) -> None:
    one, again, other = token(), token(EC, "ES256", "ec", jti="2"), token(sub="grace")
    assert identify(access, one).id == identify(access, again).id != identify(access, other).id


async def test_keys_of_our_own_go_on_being_valid(access: Access, store: Store) -> None:
    key, secret = await create_key(store, name="laptop")
    await access.keys.refresh()
    assert identify(access, secret) == key
    assert access.current(key) == key


@pytest.mark.parametrize(
    "forged",
    [
        lambda: token(STRANGER),
        lambda: token(EC, "ES256", "rsa"),
        lambda: token(RSA, "RS512"),
        lambda: token(key_id="unknown"),
        lambda: token(key_id=None),
        unsigned,
        confused,
        altered,
        lambda: token(exp=time.time() - 10),
        lambda: token(exp=None),
        lambda: token(nbf=time.time() + 60),
        lambda: token(iss="https://evil.example.com/"),
        lambda: token(aud="another"),
        lambda: token(aud=None),
        lambda: token(sub=None),
        lambda: token(department="unknown"),
        lambda: token(department=7),
        lambda: token(limits="none"),
        lambda: token(limits=[{"of": "tokens", "per": "minute", "amount": -1}]),
        lambda: token(models={"a": 1}),
        lambda: token(scope=[1]),
        lambda: token()[:-9],
        lambda: "a.b.c",
        lambda: "..",
        lambda: token(padding="x" * 10_000),
    ],
)
async def test_what_is_not_the_issuers_word_for_us_is_refused(access: Access, forged: Any) -> None:
    assert not holds(access, forged())
    assert holds(access, token())


async def test_a_token_without_scopes_of_ours_may_do_nothing(access: Access) -> None:
    assert identify(access, token(scope="openid")).scopes == ()


async def test_an_identity_ends_with_its_token(access: Access) -> None:
    shown = token(exp=int(time.time()) - 3)
    key = identify(access, shown)
    assert access.current(key) == key
    await eventually(lambda: not holds(access, shown), within_s=4)
    assert access.current(key) is None


async def test_an_archived_projects_tokens_stop_at_once(access: Access, store: Store, project: Project) -> None:
    shown = token(department=project.id)
    assert holds(access, shown)
    await update_project(store, project.id, archived=True)
    await eventually(lambda: not holds(access, shown))


async def test_a_new_key_of_the_issuer_is_found_and_an_old_one_forgotten(access: Access, issuer: Issuer) -> None:
    old, new = token(), token(STRANGER, key_id="new")
    assert holds(access, old)
    issuer.document = published(new=STRANGER)
    await eventually(lambda: holds(access, new))
    assert not holds(access, old)


@pytest.mark.parametrize(("status", "document"), [(503, b""), (200, b"<html>"), (200, b'{"keys": []}'), (200, b"[]")])
async def test_while_the_issuer_is_down_its_last_keys_stand(
    access: Access, issuer: Issuer, status: int, document: bytes
) -> None:
    issuer.status, issuer.document = status, document
    holds(access, token(key_id="unknown"))
    await eventually(lambda: access.degraded != [])
    assert holds(access, token(sub="grace"))
    issuer.status, issuer.document = 200, published(rsa=RSA)
    await eventually(lambda: access.degraded == [])


async def test_unknown_key_ids_do_not_flood_the_issuer(access: Access, issuer: Issuer) -> None:
    for number in range(200):
        holds(access, token(STRANGER, key_id=f"unknown-{number}"))
    assert issuer.asked <= 2 + 200 * 0.1


ALL = ["RS256", "RS512", "PS256", "ES256"]


def naming(document: bytes, **algorithms: str) -> bytes:
    """Return a JWKS whose keys name their algorithms."""
    keys = json.loads(document)["keys"]
    return json.dumps({"keys": [{**key, "alg": algorithms[key["kid"]]} for key in keys]}).encode()


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
async def test_a_key_that_names_no_algorithm_serves_every_configured_one_of_its_type(
    project: Project, issuer: Issuer, algorithm: str
) -> None:
    tokens = await Tokens.open(identity_of(issuer, algorithms=ALL), lambda _: project)
    try:
        assert tokens.identify(token(RSA, algorithm)).name == "ada"
        assert tokens.identify(token(EC, "ES256", "ec")).name == "ada"
    finally:
        await tokens.close()


async def test_a_key_that_names_its_algorithm_serves_no_other(project: Project, issuer: Issuer) -> None:
    issuer.document = naming(published(rsa=RSA), rsa="RS512")
    tokens = await Tokens.open(identity_of(issuer, algorithms=ALL), lambda _: project)
    try:
        assert tokens.identify(token(RSA, "RS512")).name == "ada"
        with pytest.raises(Unauthenticated):
            tokens.identify(token(RSA, "RS256"))
    finally:
        await tokens.close()


@pytest.mark.parametrize(
    "header", [None, "", "Bearer sk-abc.def.ghi", "Basic a.b.c", "Bearer a.b", "Bearer a.b.c.d", "Bearer ä.b.c"]
)
def test_what_does_not_look_like_a_token_is_none(header: str | None) -> None:
    assert token_in(header) is None
