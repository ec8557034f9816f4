"""The wire contract, stated once and held by every engine: ``pytest -k C4.3`` runs what proves that line."""

from collections.abc import Mapping

import pytest

from doctor.catalogue import CHECKS
from doctor.check import Capability, Check
from gateway.cli.matrix import print_families
from tests.contract.conftest import SCHEMAS, Found, PublishedJournal
from tests.e2e.running import REPOSITORY

UNBOUND = {
    "errors/a_prompt_over_the_context_is_told_in_the_code",
    "errors/a_prompt_over_the_context_is_told_in_the_message_for_langchain",
}
"""What does not apply to an engine whose context has no bound."""

LACKS: dict[str, set[Capability]] = {
    "vllm": set(),
    "transformers": set(),
    "echo": {"tools", "structured_outputs", "logprobs", "prompt_echo", "completion_logprobs", "prompt_logprobs"},
    "upstream": set(),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.line} {check.name}")
@pytest.mark.parametrize("engine", LACKS)
def test_the_contract_holds(engine: str, check: Check, found: Found) -> None:
    lacking = LACKS[engine].intersection(check.needs) or (engine == "echo" and check.name in UNBOUND)
    result = found[engine, check.name]
    assert result.outcome == ("not applicable" if lacking else "passed"), result.reason


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("engine", LACKS)
def test_every_answer_fits_the_document_that_openai_publishes(
    engine: str, kind: str, found: Found, journals: Mapping[str, PublishedJournal]
) -> None:
    if len(found) < len(LACKS) * len(CHECKS):
        pytest.skip("only some checks have run")
    assert journals[engine].answers(kind)
    assert not journals[engine].unfit[kind]


def test_the_readme_shows_what_was_found(found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    if len(found) < len(LACKS) * len(CHECKS):
        pytest.skip("only some checks have run")
    print_families({engine: [found[engine, check.name] for check in CHECKS] for engine in LACKS})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = (REPOSITORY / "README.md").read_text().partition("FAMILY ")[2].partition("```")[0]
    assert [line.split() for line in f"FAMILY {shown}".splitlines()] == rows
