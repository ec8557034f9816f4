"""The port of gRPC: what it bounds, what it tells without a key, and what it keeps to itself."""

import grpc
import psutil
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from gateway.grpc.chat_pb2 import ChatMessage, ChatRequest
from gateway.grpc.chat_pb2_grpc import ChatStub
from tests.e2e.echo.test_grpc import METADATA, request
from tests.e2e.running import KEY, Raygate
from tests.e2e.waiting import within

LISTING = "/ray.serve.RayServeAPIService/ListApplications"
PICKLED = "/ray.serve.ASGIService/HandleRequest"
"""By which replicas call each other."""


def test_a_message_over_the_bound_is_refused(chat: ChatStub) -> None:
    big = ChatRequest(messages=[ChatMessage(role="user", content="x" * (10 * 2**20 + 1))])
    with pytest.raises(grpc.RpcError) as raised:
        chat.Complete(big, metadata=METADATA, timeout=30)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("depth", [80, 1000])
def test_a_struct_that_is_too_deep_is_refused_and_the_next_request_is_answered(
    channel: grpc.Channel, chat: ChatStub, depth: int
) -> None:
    # By hand: this machine's library would not build it. extra = {"a": {"a": ...}}, from the inside out.
    inner = b""
    for _ in range(depth):
        value = b"\x2a" + _length(inner) + inner  # Value.struct_value
        entry = b"\x0a\x01a\x12" + _length(value) + value  # FieldsEntry
        inner = b"\x0a" + _length(entry) + entry  # Struct.fields
    raw = b"\xa2\x06" + _length(inner) + inner  # ChatRequest.extra
    call = channel.unary_unary("/raygate.v1.Chat/Complete")
    with pytest.raises(grpc.RpcError) as raised:
        call(raw, metadata=METADATA, timeout=30)
    assert raised.value.code() is grpc.StatusCode.UNKNOWN
    assert chat.Complete(request(), metadata=METADATA, timeout=30).usage.total_tokens == 5


def _length(data: bytes) -> bytes:
    """Return the length as protobuf's varint."""
    size, encoded = len(data), bytearray()
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*encoded, size])


def test_health_needs_no_key(channel: grpc.Channel) -> None:
    health = HealthStub(channel)
    assert within(30, lambda: health.Check(HealthCheckRequest()).status == HealthCheckResponse.SERVING)
    assert set(health.List(HealthListRequest(), timeout=30).statuses) == {"", "raygate.v1.Chat"}
    watch = health.Watch(HealthCheckRequest(service="raygate.v1.Chat"), timeout=30)
    assert next(watch).status == HealthCheckResponse.SERVING
    watch.cancel()


def test_the_health_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        HealthStub(channel).Check(HealthCheckRequest(service="none"), timeout=30)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    watch = HealthStub(channel).Watch(HealthCheckRequest(service="none"), timeout=30)
    assert next(watch).status == HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_clients_the_services_and_their_files(channel: grpc.Channel, version: str) -> None:
    reflect = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    asked = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol="raygate.v1.Chat"),
    ]
    listed, file = reflect(iter(asked), timeout=30)
    assert {"raygate.v1.Chat", "grpc.health.v1.Health"} <= {s.name for s in listed.list_services_response.service}
    assert b"gateway/grpc/chat.proto" in file.file_descriptor_response.file_descriptor_proto[0]


def test_an_engine_cannot_be_reached_by_naming_its_application(chat: ChatStub) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        chat.Complete(request(), metadata=[*METADATA, ("application", "model-echo")], timeout=30)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def told(port: int, method: str) -> grpc.StatusCode:
    """Ask a port for a method with a key, but without any token of the cluster; return the status."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(method)(b"", metadata=METADATA, timeout=30)
    return raised.value.code()


def listening(processes: list[psutil.Process]) -> set[int]:
    """Return the ports on which they listen."""
    return {
        each.laddr.port
        for process in processes
        for each in process.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }


METHODS = ("/raygate.v1.Chat/Complete", "/ray.serve.RayServeAPIService/Healthz", LISTING, PICKLED)


@pytest.mark.parametrize("method", METHODS)
def test_an_engines_own_ports_serve_no_method_without_the_clusters_token(echo: Raygate, method: str) -> None:
    ports = listening(echo.processes("ServeReplica:model-echo:engine"))
    assert len(ports & set(range(26_000, 29_000))) >= 2  # one a replica takes gRPC
    silent = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE}
    assert {told(port, method) for port in ports} <= silent


def test_nobody_is_told_which_models_there_are(echo: Raygate) -> None:
    ports = listening([*echo.processes("ServeReplica:gateway:gateway"), *echo.processes("ray::ProxyActor")])
    assert told(int(echo.grpc_address.rpartition(":")[2]), LISTING) is grpc.StatusCode.UNIMPLEMENTED
    grpc_ports = ports & set(range(23_000, 29_000))
    assert {told(port, LISTING) for port in grpc_ports} <= {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE}


def test_nothing_that_clients_send_is_logged(echo: Raygate, channel: grpc.Channel, chat: ChatStub) -> None:
    canary = "canary-9c41e"
    asked = ChatRequest(model="echo", messages=[ChatMessage(role="user", content=canary)], user=canary)
    assert canary in chat.Complete(asked, metadata=METADATA, timeout=30).choices[0].message.content
    for refused in (
        ChatRequest(model=canary, messages=asked.messages),
        ChatRequest(messages=[ChatMessage(role=canary)]),
    ):
        with pytest.raises(grpc.RpcError):
            chat.Complete(refused, metadata=METADATA, timeout=30)
    with pytest.raises(grpc.RpcError):
        chat.Complete(asked, metadata=[("authorization", f"Bearer {canary}")], timeout=30)
    with pytest.raises(grpc.RpcError):
        channel.unary_unary("/raygate.v1.Chat/Complete")(canary.encode(), metadata=METADATA, timeout=30)
    logs = echo.logs()
    assert canary not in logs
    assert KEY not in logs
