"""The table has every endpoint that there is: a new one is told here how it is held."""

from gateway.batches.lines import ENDPOINTS
from gateway.grpc import chat_pb2
from tests.security.conftest import Cluster
from tests.security.table import TABLE


def test_it_has_every_endpoint_of_the_code_and_no_other(cluster: Cluster) -> None:
    described = cluster.admin.get("/openapi.json").json()["paths"]
    over_http = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    over_grpc = {f"gRPC Chat/{each.name}" for each in chat_pb2.DESCRIPTOR.services_by_name["Chat"].methods}
    assert set(TABLE) == over_http | over_grpc | {f"batch line {path}" for path in ENDPOINTS}
