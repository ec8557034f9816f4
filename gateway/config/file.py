"""A YAML file whose every value knows where it stands, so that a mistake can be named by line.

Example::

    document = read(Path("raygate.yaml"))
    document.data  # {"models": [{"name": "echo", ...}]}
    document.position(("models", 0, "name"))  # Position(line=2, column=5)
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands: the keys and list indexes that lead to it."""


@dataclass(frozen=True)
class Position:
    """A place in a file; both numbers start at 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a configuration file.

    Attributes:
        file: the file as the operator named it.
        at: where in the file; ``None`` when the file could not be read at all.
        key: the key path, as in ``models[0].replicas.min``; empty for the file as a whole.
        problem: what is wrong.
        allowed: what would be right.
    """

    file: Path
    at: Position | None
    key: str
    problem: str
    allowed: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.at.line}:{self.at.column}" if self.at else str(self.file)
        return ": ".join(part for part in (place, self.key, self.problem) if part) + (
            f"; {self.allowed}" if self.allowed else ""
        )


class ConfigError(ValueError):
    """A configuration file has mistakes; ``mistakes`` holds every one, in the order of the file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda it: (it.at.line, it.at.column) if it.at else (0, 0))
        super().__init__("\n".join(map(str, self.mistakes)))


@dataclass(frozen=True)
class Document:
    """A parsed YAML file.

    Attributes:
        path: the file.
        data: its content, as plain Python values.
        root: its content, as YAML nodes that know their place.
    """

    path: Path
    data: Any
    root: yaml.Node

    def position(self, key: KeyPath) -> Position:
        """Return where the value of ``key`` stands; for a key that is missing, where its parent stands."""
        node = self.root
        mark = node.start_mark
        for part in key:
            child = _child(node, part)
            if child is None:
                break
            mark, node = child[0].start_mark, child[1]
        return Position(mark.line + 1, mark.column + 1)

    def mistake(self, key: KeyPath, problem: str, allowed: str = "") -> Mistake:
        """Return a mistake at ``key`` of this file."""
        return Mistake(self.path, self.position(key), written(key), problem, allowed)


def written(key: KeyPath) -> str:
    """Return a key path as a reader writes it: ``models[0].name``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def read(path: Path) -> Document:
    """Return the parsed file.

    Raises:
        ConfigError: the file is missing, unreadable, empty, not UTF-8, not YAML, or names a key twice.
    """
    text = _text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        raise ConfigError([Mistake(path, at, "", f"not YAML: {error.problem or error.context}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0]
        raise ConfigError([Mistake(path, Position(1, 1), "", f"not YAML: {problem}")]) from None
    if root is None or data is None:
        raise ConfigError([Mistake(path, Position(1, 1), "", "the file is empty", "it needs at least: models:")])
    if repeated := list(_repeated_keys(path, root)):
        raise ConfigError(repeated)
    return Document(path, data, root)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        problem = "no such file"
    except IsADirectoryError:
        problem = "a folder, not a file"
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 (byte {error.start + 1})"
    except OSError as error:
        problem = error.strerror or str(error)
    raise ConfigError([Mistake(path, None, "", problem)])


def _child(node: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the node that names a child, and the child itself."""
    if isinstance(node, yaml.MappingNode):
        return next((pair for pair in node.value if pair[0].value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _repeated_keys(path: Path, root: yaml.Node) -> Iterator[Mistake]:
    waiting: list[tuple[KeyPath, yaml.Node]] = [((), root)]
    seen: set[int] = set()  # an anchored node can stand in many places, even within itself
    while waiting:
        above, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        first_lines: dict[str | int, int] = {}
        for part, name, child in _children(node):
            line = name.start_mark.line + 1
            if part in first_lines:
                at = Position(line, name.start_mark.column + 1)
                problem = f"the key stands twice, first on line {first_lines[part]}"
                yield Mistake(path, at, written((*above, part)), problem)
            first_lines.setdefault(part, line)
            waiting.append(((*above, part), child))


def _children(node: yaml.Node) -> Sequence[tuple[str | int, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        return [(str(name.value), name, child) for name, child in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(index, child, child) for index, child in enumerate(node.value)]
    return []
