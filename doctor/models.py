"""The list of models."""

from urllib.parse import quote

from doctor.check import check
from doctor.server import Server
from doctor.verdict import NotApplicable, expect, expect_equal


@check("C7.1")
async def models_are_listed(server: Server) -> None:
    listed = (await server.ask("GET", "/models")).json()
    expect_equal("object", listed.get("object"), "list")
    for model in listed["data"]:
        missing = {"id", "object", "created", "owned_by"} - model.keys()
        expect(not missing, f"a model lacks {', '.join(sorted(missing))}")
        expect_equal("object of a model", model["object"], "model")
        server.journal.note("model", model)


@check("C7.1", "chat")
async def the_model_at_hand_is_in_the_list(server: Server) -> None:
    listed = (await server.ask("GET", "/models")).json()["data"]
    expect(server.model in {model["id"] for model in listed}, "it is not there")


@check("C7.2", "chat")
async def a_model_is_found_by_its_id(server: Server) -> None:
    reply = await server.ask("GET", f"/models/{server.model}")
    expect_equal("status", reply.status, 200)
    expect_equal("id", reply.json().get("id"), server.model)


@check("C7.2")
async def a_model_with_a_slash_is_found_with_and_without_escapes(server: Server) -> None:
    listed = (await server.ask("GET", "/models")).json()["data"]
    name = next((model["id"] for model in listed if "/" in model["id"]), None)
    if name is None:
        raise NotApplicable("no model's id has a slash")
    for path in (f"/models/{name}", f"/models/{quote(name, safe='')}"):
        expect_equal("status", (await server.ask("GET", path)).status, 200)


@check("C2.5")
async def a_model_that_is_not_there_is_404_model_not_found(server: Server) -> None:
    reply = await server.ask("GET", "/models/no-such-model")
    expect_equal("status", reply.status, 404)
    expect_equal("code", reply.error()["code"], "model_not_found")
