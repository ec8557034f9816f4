"""Why an engine did not start, in one line."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_CAUSE = re.compile(r"(?:^|\s)(?:[\w.]+\.)?(\w+(?:Error|Exception)): (.+)$")
_NOT_A_CAUSE = ("Engine core initialization failed", "Failed core proc", "EngineCore failed to start", "WorkerProc")
_LIMIT = 400
_LOG_TAIL_BYTES = 256 * 1024


def root_cause(error: BaseException) -> str:
    """Return the innermost cause of an exception as ``Kind: text``, one line, bounded.

    An exception that was merely being handled is no cause: ``KeyError: 'gpt9'`` says less than the "unknown
    architecture" which Transformers makes of it.
    """
    while error.__cause__:
        error = error.__cause__
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_LIMIT]


@dataclass(frozen=True)
class StartLog:
    """This process's standard error from a moment on; its children write there as well."""

    path: Path | None
    start: int

    @classmethod
    def here(cls) -> "StartLog":
        """Return the log as it stands now; empty when standard error is no file."""
        path = Path(os.path.realpath("/proc/self/fd/2"))
        return cls(path, path.stat().st_size) if path.is_file() else cls(None, 0)

    def last_cause(self) -> str | None:
        """Return the last exception that was written since, unless it only says that there was another."""
        if self.path is None:
            return None
        with self.path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self.start, end - _LOG_TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
        for line in reversed(lines):
            found = _CAUSE.search(line)
            if found and not found[2].startswith(_NOT_A_CAUSE):
                return f"{found[1]}: {found[2]}"[:_LIMIT]
        return None
