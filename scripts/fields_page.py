"""Prints ``docs/fields.md``: the fields of every endpoint, as the code lists them.

.venv/bin/python scripts/fields_page.py > docs/fields.md
"""

from gateway import paths
from gateway.endpoints.closed import CHECKED, DROPPED, ENGINES, EXTENSION, SIZED, Closed, Marker, listed
from gateway.endpoints.responses.body import ResponseBody
from gateway.endpoints.transcriptions import TranscriptionBody
from gateway.routes.generating import ENDPOINTS

HEAD = """\
# Fields

Each endpoint has a closed list of fields. What is not on it never reaches an engine: such a request is a 400 that names
the field, or, with `gateway.unknown_fields: drop`, the field is dropped and named in the header
`x-raygate-dropped-fields` (a batch's results do not name them). A field that is null is not set. Limits count what is
forwarded.

* **Checked**: Raygate holds it to its type and bounds ([configuration](configuration.md)), and forwards it.
* **The engine decides**: it is forwarded; who cannot honour it says so, or ignores it as its own server does.
* **An engine's own**: a field of vLLM's, of which Transformers knows some; others answer a 400 or ignore it.
* **Dropped**: clients add it by themselves, and it changes no answer.

What is a list, an object or a text of the last two kinds is at most `gateway.bounds.max_schema_bytes` large, as JSON.
`scripts/fields_page.py` writes this page from the code.
"""

ROWS = (
    ("Checked", (CHECKED, SIZED)),
    ("The engine decides", (ENGINES,)),
    ("An engine's own", (EXTENSION,)),
    ("Dropped", (DROPPED,)),
)

BODIES: tuple[tuple[str, type[Closed]], ...] = (
    *((each.path, each.body) for each in ENDPOINTS if each.path != paths.TRANSCRIPTIONS),
    (paths.RESPONSES, ResponseBody),
    (paths.TRANSCRIPTIONS, TranscriptionBody),
)


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(_section(path, body) for path, body in BODIES)])


def _section(path: str, body: type[Closed]) -> str:
    lines = [f"## `{path}`", "", "| | fields |", "|---|---|"]
    lines += [f"| {what} | {names} |" for what, markers in ROWS if (names := _names(body, markers))]
    return "\n".join([*lines, ""])


def _names(body: type[Closed], markers: tuple[Marker, ...]) -> str:
    return ", ".join(f"`{name}`" for name, marker in sorted(listed(body).items()) if marker in markers)


if __name__ == "__main__":
    print(page(), end="")
