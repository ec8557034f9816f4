"""Files with the openai SDK, and with clients that mean no good."""

import socket
from pathlib import Path

import httpx
import openai
import pytest

from tests.e2e.batches.conftest import MAX_FILE
from tests.e2e.running import KEY, Raygate


def test_a_file_is_stored_listed_read_and_deleted(client: openai.OpenAI) -> None:
    made = client.files.create(file=("notes.txt", b"some notes"), purpose="user_data")
    again = client.files.create(
        file=("more.txt", b"more"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert (made.bytes, made.filename, made.purpose, made.expires_at) == (10, "notes.txt", "user_data", None)
    assert again.expires_at == again.created_at + 3600
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == b"some notes"
    page = client.files.list(purpose="user_data", limit=1, order="asc")
    assert [file.id for file in page] == [made.id, again.id]  # the SDK asks for the second page itself
    for file in (made, again):
        assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError) as gone:
        client.files.retrieve(made.id)
    assert gone.value.code == "not_found"


def test_another_project_sees_nothing(batching: Raygate, client: openai.OpenAI) -> None:
    made = client.files.create(file=("mine.txt", b"mine"), purpose="user_data")
    batching.raygate("projects", "create", "strangers")
    secret = batching.raygate("keys", "create", "stranger", "--project", "strangers").stdout.strip()
    batching.await_key(secret)
    with openai.OpenAI(base_url=batching.openai_url, api_key=secret, max_retries=0) as stranger:
        for ask in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
            with pytest.raises(openai.NotFoundError):
                ask(made.id)
        assert list(stranger.files.list()) == []
    client.files.delete(made.id)


def test_size_and_quota_are_bounded(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as too_large:
        client.files.create(file=("big", b"x" * (MAX_FILE + 1)), purpose="user_data")
    assert (too_large.value.status_code, too_large.value.code) == (413, "request_too_large")
    first = client.files.create(file=("first", b"x" * MAX_FILE), purpose="user_data")
    with pytest.raises(openai.BadRequestError) as full:
        client.files.create(file=("second", b"x" * MAX_FILE), purpose="user_data")
    assert full.value.code == "storage_quota_exceeded"
    client.files.delete(first.id)
    client.files.delete(client.files.create(file=("second", b"x" * MAX_FILE), purpose="user_data").id)


@pytest.mark.parametrize("name", ["../../../../tmp/raygate-escaped", "..\\..\\raygate-escaped", "/tmp/raygate-escaped"])
def test_a_file_name_leads_nowhere(batching: Raygate, client: openai.OpenAI, name: str) -> None:
    made = client.files.create(file=(name, b"x"), purpose="user_data")
    assert made.filename == "raygate-escaped"
    assert not Path("/tmp/raygate-escaped").exists()
    assert [path.name for path in batching.home.rglob("*escaped*")] == []
    client.files.delete(made.id)


@pytest.mark.parametrize("file_id", ["..%2f..%2fsecrets%2finternal_token", "%2e%2e", "file-%00", "x" * 300])
def test_an_id_leads_nowhere(batching: Raygate, file_id: str) -> None:
    with batching.client() as client:
        for path in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content"):
            response = client.get(path)
            assert response.status_code in (400, 404)
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_multipart_without_end_is_given_up(batching: Raygate) -> None:
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        "content-type: multipart/form-data; boundary=b\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", batching.port), timeout=30) as connection:
        connection.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(part), part))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    with batching.client() as client:
        assert client.get("/v1/files").status_code == 200


def test_what_is_no_upload_is_refused_in_the_contract(batching: Raygate) -> None:
    with batching.client() as client:
        answers: list[httpx.Response] = [
            client.post("/v1/files", json={"purpose": "batch"}),
            client.post("/v1/files", data={"purpose": "batch"}, files={"other": b"x"}),
            client.post("/v1/files", files={"file": ("a", b"x")}),
            client.post("/v1/files", data={"purpose": "mischief"}, files={"file": ("a", b"x")}),
            client.post("/v1/files", content=b"--b", headers={"content-type": "multipart/form-data; boundary=b"}),
            client.get("/v1/files", params={"limit": 0}),
            client.get("/v1/files", params={"after": "../../x"}),
        ]
    assert [answer.status_code for answer in answers] == [415, 400, 400, 400, 400, 400, 400]
    assert all(set(answer.json()["error"]) == {"message", "type", "param", "code"} for answer in answers)
