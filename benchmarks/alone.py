"""The echo engine's app alone under uvicorn: what the machine can do at all. ``python -m benchmarks.alone PORT``."""

import asyncio
import os
import signal
import sys

import uvicorn

from engines.base import EngineSettings
from engines.echo import EchoEngine
from gateway.cluster.processes import end_with_parent


def main(port: int) -> None:
    """Serve on the loopback interface until a signal comes."""
    end_with_parent(signal.SIGTERM, os.getppid())
    app = asyncio.run(EchoEngine(EngineSettings(model="echo")).start())
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]))
