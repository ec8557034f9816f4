"""Stands in front of the HAProxy binary and amends the configuration that Ray Serve writes for it.

Ray Serve runs whatever ``RAY_SERVE_HAPROXY_BINARY_PATH`` names, at the start and again for each reload, as
``BINARY -db -f CONFIG ...``. Raygate names a script that runs this file, and this file becomes HAProxy:

* metrics and statistics are for this machine alone, where Ray Serve opens them to every interface;
* clients connect to the interface that the operator chose, while Ray Serve stays on the loopback interface;
* an error that HAProxy answers itself has the shape of every other error, and a request id;
* a request has one id that is fit to be one, or none: of two, Ray Serve would answer with another than we log;
* while no gateway is up it says so: Ray Serve would send requests to its own proxy, which holds them without bound;
* the gateway learns each client's address: it believes the last ``X-Forwarded-For`` that comes from its own machine, so
  HAProxy must write one, or a client would choose its own;
* a client whose gateway dies under its first request is told so;
* a client that sends its headers too slowly is let go, and so is one that never ends its body, or does not read;
* a client that leaves is noticed: with ``splice-request``, HAProxy 2.8 no longer reads from a client whose body came
  after its headers, as httpx sends it, and generation would go on for nobody.

Only the standard library is imported, since each reload waits for this.
"""

import os
import sys
from pathlib import Path

HEADER_TIMEOUT_S = 30
"""How long a client may take to send a request's headers."""

_REQUEST_ID = """\
    http-request set-var(txn.request_id) req.fhdr(x-request-id) if { req.fhdr(x-request-id) -m reg ^[A-Za-z0-9._-]{1,128}$ }
    http-request del-header x-request-id
    http-request set-header x-request-id %[var(txn.request_id)] if { var(txn.request_id) -m found }
    http-after-response set-header x-request-id %[var(txn.request_id)] if !{ res.hdr(x-request-id) -m found } { var(txn.request_id) -m found }
    http-after-response set-header x-request-id %[uuid] if !{ res.hdr(x-request-id) -m found }"""  # noqa: E501

_GRPC_UNAVAILABLE = (
    "content-type application/grpc hdr grpc-status 14"
    ' hdr grpc-message "No gateway process is ready to take the request. Please retry."'
)

_REPLACED = (
    "errorfile ",
    "timeout http-request ",
    "timeout client ",
    "http-reuse ",
    "option splice-request",
    "option forwardfor",
)

_BACKUP = " backup"
"""How the line of a server ends that is asked when no other is up."""


def amended(config: str, host: str, pages: Path, client_timeout_s: int) -> str:
    """Return HAProxy's configuration with Raygate's changes; a configuration that has them already stays as it is.

    Args:
        config: what Ray Serve wrote.
        host: the interface on which clients connect.
        pages: the folder of ``STATUS.http`` files, each a whole HTTP response.
        client_timeout_s: how long a client may pause while it is its turn: within its body, or when it is to read.
            HAProxy 2.8 does not count the time in which a client waits for its answer.
    """
    lines: list[str] = []
    section = ""
    for line in config.splitlines():
        if line and not line[0].isspace():
            section = line.strip()
        if line in _REQUEST_ID.splitlines() or line.strip().startswith(_REPLACED):
            continue
        lines += _amended(line, section, host, pages, client_timeout_s)
    return "\n".join(lines) + "\n"


def _amended(line: str, section: str, host: str, pages: Path, client_timeout_s: int) -> list[str]:
    """Return what one line of a section becomes."""
    word = line.split(maxsplit=1)[0] if line.strip() else ""
    port = line.rsplit(":", 1)[-1]
    match section, word:
        case "defaults", "defaults":
            statuses = sorted(page.stem for page in pages.glob("*.http"))
            files = [f"    errorfile {status} {pages / status}.http" for status in statuses]
            # A client that is too slow with its headers is closed without an answer: the SDK would repeat a 408.
            timeouts = [f"    timeout http-request {HEADER_TIMEOUT_S}s", f"    timeout client {client_timeout_s}s"]
            # Of a gateway that dies under a request on a reused connection, HAProxy tells nothing: it closes, and the
            # client is to ask again. With "safe", no client's first request is one.
            return [line, *timeouts, "    http-reuse safe", "    errorfile 408 /dev/null", *files]
        case (("frontend prometheus" | "listen stats"), "bind"):
            return [f"    bind 127.0.0.1:{port}"]
        case (("frontend http_frontend" | "frontend grpc_frontend"), "bind"):
            bind = f"    bind {'*' if host == '0.0.0.0' else host}:{port}"
            request_id = _REQUEST_ID.splitlines() if section == "frontend http_frontend" else []
            return [bind, "    option forwardfor", *request_id]
        case (("backend default_backend" | "backend default_grpc_backend"), "http-request"):
            # No application has the route yet: the gateway is still starting.
            unavailable = f"503 errorfile {pages / '503'}.http"
            return [
                f"    http-request return status {f'200 {_GRPC_UNAVAILABLE}' if 'grpc' in section else unavailable}"
            ]
        case _, "server" if line.rstrip().endswith(_BACKUP):
            # gRPC clients read no error page, but prefer a gRPC status to the one of HTTP.
            return [f"    http-error status 503 {_GRPC_UNAVAILABLE}"] if "grpc" in section else []
    return [line]


def main(argv: list[str]) -> None:
    """Amend the file that ``-f`` names, then become HAProxy.

    Args:
        argv: this file, HAProxy's binary, the interface, the folder of error pages, the client's timeout in seconds,
            and HAProxy's own arguments.
    """
    binary, host, pages, client_timeout_s, *arguments = argv[1:]
    config = Path(arguments[arguments.index("-f") + 1])
    aside = config.with_name(f"{config.name}.amended")
    aside.write_text(amended(config.read_text(), host, Path(pages), int(client_timeout_s)))
    aside.replace(config)
    os.execv(binary, [binary, *arguments])  # noqa: S606 - Ray Serve watches this process: it must be HAProxy itself


if __name__ == "__main__":
    main(sys.argv)
