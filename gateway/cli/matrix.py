"""What the doctor found out, on the screen: a row a check, or a row a family; a column a model."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from gateway.cli.tables import console

if TYPE_CHECKING:
    from doctor.examine import Outcome, Result

MARKS: "Mapping[Outcome, str]" = {"passed": "✓", "failed": "✗", "absent": "○", "not applicable": "-", "error": "!"}
COLOURS: "Mapping[Outcome, str]" = {"passed": "green", "failed": "red", "absent": "yellow", "error": "red"}

Found = Mapping[str, "Sequence[Result]"]
"""Each model's results, in the same order."""


def print_checks(found: Found) -> None:
    """Print a row for each check; with several models, why something is as it is follows below."""
    several = len(found) > 1
    table = _table("LINE", "CHECK", *found, *([] if several else ["WHY"]))
    for row in zip(*found.values(), strict=True):
        check = row[0].check
        marks = (Text(MARKS[result.outcome], COLOURS.get(result.outcome, "")) for result in row)
        why = () if several else (Text(row[0].reason),)
        table.add_row(check.line, check.name.replace("_", " "), *marks, *why)
    console().print(table)
    if several:
        _print_reasons(found)
    for model, results in found.items():
        console().print(Text(f"{model}: {_sums(results)}"))


def print_families(found: Found) -> None:
    """Print a row for each family: how many checks have passed, of those that apply."""
    table = _table("FAMILY", *found)
    families = dict.fromkeys(_family(result) for results in found.values() for result in results)
    for family in families:
        table.add_row(family.replace("_", " "), *(_share(results, family) for results in found.values()))
    console().print(table)
    _print_reasons(found)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_reasons(found: Found) -> None:
    for model, results in found.items():
        for result in results:
            if result.outcome in ("failed", "absent", "error"):
                console().print(Text(f"{MARKS[result.outcome]} {model}: {result.check.name}: {result.reason}"))


def _family(result: "Result") -> str:
    return result.check.name.partition("/")[0]


def _share(results: "Iterable[Result]", family: str) -> str:
    outcomes = [result.outcome for result in results if _family(result) == family]
    apply = [outcome for outcome in outcomes if outcome != "not applicable"]
    return f"{apply.count('passed')} of {len(apply)}" if apply else MARKS["not applicable"]


def _sums(results: "Sequence[Result]") -> str:
    counts = {outcome: sum(result.outcome == outcome for result in results) for outcome in MARKS}
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
