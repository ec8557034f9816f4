"""The wire contract, stated once and held by every engine: ``pytest -k C4.3`` runs what proves that line."""

import pytest

from gateway.contract.catalogue import CHECKS
from gateway.contract.check import Capability, Check
from tests.contract.conftest import Found

UNBOUND = {
    "errors/a_prompt_over_the_context_is_told_in_the_code",
    "errors/a_prompt_over_the_context_is_told_in_the_message_for_langchain",
}
"""What does not apply to an engine whose context has no bound."""

LACKS: dict[str, set[Capability]] = {
    "vllm": set(),
    "transformers": set(),
    "upstream": set(),
    "echo": {"tools", "structured_outputs", "logprobs", "prompt_echo", "completion_logprobs", "prompt_logprobs"},
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.line} {check.name}")
@pytest.mark.parametrize("engine", LACKS)
def test_the_contract_holds(engine: str, check: Check, found: Found) -> None:
    lacking = LACKS[engine].intersection(check.needs) or (engine == "echo" and check.name in UNBOUND)
    result = found[engine, check.name]
    assert result.outcome == ("not applicable" if lacking else "passed"), result.reason
