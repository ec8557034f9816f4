"""Embeddings."""

import base64
import binascii
import struct

from doctor.check import check
from doctor.server import EMBEDDINGS, Server
from doctor.verdict import Failed, expect, expect_equal

_CLOSE = 1e-4


@check("C7.3", "embeddings")
async def an_embedding_is_a_list_of_numbers(server: Server) -> None:
    answer = await server.embed()
    expect_equal("object", answer["object"], "list")
    (one,) = answer["data"]
    expect_equal("object of an entry", one["object"], "embedding")
    expect(one["embedding"] and all(isinstance(value, float) for value in one["embedding"]), "there are no numbers")


@check("C7.3", "embeddings")
async def base64_is_little_endian_float32_of_the_same_numbers(server: Server) -> None:
    plain = (await server.embed())["data"][0]["embedding"]
    packed = (await server.embed(encoding_format="base64"))["data"][0]["embedding"]
    expect(isinstance(packed, str), "it is no text")
    try:
        raw = base64.b64decode(packed, validate=True)
    except binascii.Error:
        raise Failed("it is no base64") from None
    expect_equal("the number of bytes", len(raw), 4 * len(plain))
    values = struct.unpack(f"<{len(plain)}f", raw)
    expect(all(abs(a - b) < _CLOSE for a, b in zip(plain, values, strict=True)), "the numbers are others")


@check("C7.3", "embeddings")
async def several_texts_come_back_in_their_order(server: Server) -> None:
    texts = ["One", "Two", "Three"]
    answer = await server.embed(input=texts)
    expect_equal("the indices", [one["index"] for one in answer["data"]], [0, 1, 2])
    alone = (await server.embed(input=texts[1]))["data"][0]["embedding"]
    found = answer["data"][1]["embedding"]
    expect(
        all(abs(a - b) < 0.05 for a, b in zip(alone, found, strict=True)), "the second is not that of the text alone"
    )


@check("C7.3", "embeddings")
async def an_embedding_counts_its_prompt_alone(server: Server) -> None:
    usage = (await server.embed())["usage"]
    expect(usage["prompt_tokens"] > 0, "prompt_tokens is 0")
    expect_equal("total_tokens", usage["total_tokens"], usage["prompt_tokens"])


@check("C2.2", "embeddings")
async def nothing_to_embed_is_refused(server: Server) -> None:
    for body in ({"model": server.embedding_model}, {"model": server.embedding_model, "input": ""}):
        await server.refused(EMBEDDINGS, body)
