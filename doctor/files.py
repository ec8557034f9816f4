"""Files and batches."""

import asyncio
from typing import Any

import aiohttp
import orjson

from doctor.check import check
from doctor.server import CHAT, Server
from doctor.verdict import Failed, expect, expect_equal

STATES = ("validating", "in_progress", "finalizing", "completed")
_POLL_S = 0.25


@check("C7.4", "files")
async def a_file_is_uploaded_listed_read_and_deleted(server: Server) -> None:
    content = _lines(server, 1)
    file = await _uploaded(server, content)
    expect_equal("object", file["object"], "file")
    expect_equal("bytes", file["bytes"], len(content))
    expect_equal("purpose", file["purpose"], "batch")
    path = f"/files/{file['id']}"
    expect_equal("the content", (await server.ask("GET", f"{path}/content")).body, content)
    listed = await _listed(server, "/files?limit=1")
    expect({"first_id", "last_id"} <= listed.keys(), "the list lacks first_id or last_id")
    expect_equal("deleted", (await server.ask("DELETE", path)).json().get("deleted"), True)
    expect_equal("status after it was deleted", (await server.ask("GET", path)).status, 404)


@check("C7.4", "files")
async def files_come_page_by_page(server: Server) -> None:
    files = [await _uploaded(server, _lines(server, 1)) for _ in range(3)]
    seen, page = [], await _listed(server, "/files?limit=2")
    while page["data"]:
        seen += [file["id"] for file in page["data"]]
        if not page["has_more"]:
            break
        page = await _listed(server, f"/files?limit=2&after={page['last_id']}")
    expect({file["id"] for file in files} <= set(seen), "a file is on no page")
    expect_equal("the number of entries", len(seen), len(set(seen)))
    for file in files:
        await server.ask("DELETE", f"/files/{file['id']}")


@check("C7.4", "batches")
async def a_batch_goes_through_its_states_and_has_counts_and_output(server: Server) -> None:
    file = await _uploaded(server, _lines(server, 2))
    batch = await _created(server, file["id"])
    expect_equal("object", batch["object"], "batch")
    seen = [batch["status"]]
    while batch["status"] in STATES[:-1]:
        await asyncio.sleep(_POLL_S)
        batch = (await server.ask("GET", f"/batches/{batch['id']}")).json()
        seen.append(batch["status"])
    order = [STATES.index(state) if state in STATES else -1 for state in seen]
    expect(seen[-1] == "completed" and order == sorted(order), f"its states are {' '.join(dict.fromkeys(seen))}")
    expect_equal("request_counts", batch["request_counts"], {"total": 2, "completed": 2, "failed": 0})
    output = (await server.ask("GET", f"/files/{batch['output_file_id']}/content")).body
    answers = [orjson.loads(line) for line in output.splitlines()]
    expect_equal("the ids of the answers", sorted(answer["custom_id"] for answer in answers), ["line-0", "line-1"])
    for answer in answers:
        expect_equal("status_code of a line", answer["response"]["status_code"], 200)
        server.journal.note("chat.completion", answer["response"]["body"])


@check("C7.4", "batches")
async def a_batch_of_a_file_that_is_not_there_is_refused(server: Server) -> None:
    body = {"input_file_id": "file-00000000", "endpoint": f"/v1{CHAT}", "completion_window": "24h"}
    reply = await server.post("/batches", body)
    expect(reply.status in {400, 404}, f"status {reply.status}")
    reply.error()


def _lines(server: Server, count: int) -> bytes:
    """Return the content of a batch's input file."""
    body = server.chat_body(max_tokens=2)
    lines = ({"custom_id": f"line-{n}", "method": "POST", "url": f"/v1{CHAT}", "body": body} for n in range(count))
    return b"\n".join(map(orjson.dumps, lines)) + b"\n"


async def _uploaded(server: Server, content: bytes) -> dict[str, Any]:
    form = aiohttp.MultipartWriter("form-data")
    form.append(content).set_content_disposition("form-data", name="file", filename="doctor.jsonl")
    form.append("batch").set_content_disposition("form-data", name="purpose")
    reply = await server.ask("POST", "/files", content=form, headers=dict(form.headers))
    if reply.status != 200:
        raise Failed(f"status {reply.status}: {reply.error()['message']}")
    return dict(reply.json())


async def _created(server: Server, file: str) -> dict[str, Any]:
    reply = await server.post("/batches", {"input_file_id": file, "endpoint": f"/v1{CHAT}", "completion_window": "24h"})
    if reply.status != 200:
        raise Failed(f"status {reply.status}: {reply.error()['message']}")
    return dict(reply.json())


async def _listed(server: Server, path: str) -> dict[str, Any]:
    listed = (await server.ask("GET", path)).json()
    expect_equal("object of the list", listed.get("object"), "list")
    return dict(listed)
