"""Request ids and the headers of every response."""

import pytest

from gateway.http.exchange import Exchange


def exchange(*headers: tuple[bytes, bytes]) -> Exchange:
    return Exchange.begin({"type": "http", "headers": list(headers)})


def test_a_clients_id_is_kept() -> None:
    assert exchange((b"x-request-id", b"my.id-7")).request_id == "my.id-7"


@pytest.mark.parametrize("offered", [b"", b"a b", b"x" * 129, b"a\nb", "é".encode(), b"<script>"])
def test_an_unfit_id_is_replaced(offered: bytes) -> None:
    assert exchange((b"x-request-id", offered)).request_id.startswith("req_")


def test_without_an_id_each_exchange_gets_its_own() -> None:
    assert exchange().request_id != exchange().request_id


def test_the_id_is_put_on_the_response_once() -> None:
    assert [name for name, _ in exchange().headers()].count(b"x-request-id") == 1
    # Ray Serve echoes whatever id the request came with.
    assert b"x-request-id" not in dict(exchange((b"x-request-id", b"mine")).headers())


def test_a_clients_place_in_a_trace_is_known() -> None:
    place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert exchange((b"traceparent", place.encode())).traceparent == place


@pytest.mark.parametrize("offered", [b"", b"00-0af7-b7ad-01", b"00-" + b"g" * 32 + b"-" + b"0" * 16 + b"-01", b"a\nb"])
def test_an_unfit_place_in_a_trace_goes_nowhere(offered: bytes) -> None:
    assert exchange((b"traceparent", offered)).traceparent is None
