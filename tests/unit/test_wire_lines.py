"""Every line of the wire contract is proven: by a check that each engine is held to, or by a test named here."""

import ast
import re
from pathlib import Path

import pytest

from doctor.catalogue import CHECKS
from doctor.lines import LINES

ROOT = Path(__file__).parents[2]

ELSEWHERE = {
    "C1.10": [
        "tests/unit/gateway/answers/test_relay.py::test_a_stream_that_breaks_off_ends_with_an_error_event",
        "tests/unit/gateway/answers/test_relay.py::test_a_stream_that_ends_without_done_is_no_success",
        "tests/e2e/echo/test_path.py::test_a_killed_replica_ends_its_stream_with_an_error_event_and_comes_back",
    ],
    "C1.12": ["tests/e2e/quickstart/test_clients.py::test_langchain_sees_a_prompt_over_the_context"],
    "C2.4": ["tests/e2e/admin/test_keys.py::test_a_key_without_the_scope_sees_nothing_of_the_admin_api"],
    "C2.7": ["tests/e2e/admin/test_keys.py::test_of_two_admins_who_change_one_key_the_second_is_told"],
    "C2.9": [
        "tests/e2e/admin/test_limits.py::test_the_request_after_the_limit_is_told_which_limit_and_when_to_come_back",
        "tests/e2e/admin/test_limits.py::test_the_sdk_makes_one_attempt_at_an_exhausted_budget",
    ],
    "C2.11": ["tests/unit/gateway/answers/test_relay.py::test_an_engines_own_error_event_is_mended_into_the_contract"],
    "C2.12": [
        "tests/e2e/echo/test_path.py::test_a_busy_model_answers_503_in_the_contract",
        "tests/e2e/lifecycle/test_broken_models.py::test_a_request_for_it_is_a_503_at_once",
    ],
    "C2.14": [
        "tests/unit/engines/test_responses_adapter.py"
        "::test_a_stream_that_breaks_off_ends_as_failed_and_with_nothing_after"
    ],
    "C3.3": ["tests/e2e/admin/test_limits.py::test_both_replicas_tell_the_same_of_a_keys_limits"],
    "C4.7": [
        "tests/unit/gateway/answers/test_relay.py::test_an_aborted_choice_is_an_error_and_not_a_finish_reason",
        "tests/unit/gateway/answers/test_relay.py::test_repetition_leaves_as_stop",
    ],
    "C4.9": [
        "tests/e2e/echo/test_wire.py::test_c4_a_silent_stream_is_kept_alive_by_comments",
        "tests/unit/gateway/answers/test_relay.py::test_a_silent_engine_is_bridged_by_comments",
        "tests/unit/gateway/request/test_company.py"
        "::test_a_client_gets_comments_before_any_engine_has_answered_and_then_the_answer",
    ],
    "C9.1": [
        "tests/e2e/echo/test_path.py::test_when_a_client_leaves_its_engine_stops_within_a_second",
        "tests/e2e/quickstart/test_engines.py::test_when_a_client_leaves_its_engine_stops_within_a_second",
        "tests/e2e/ledger/test_ledger.py::test_sums_reconcile_when_clients_leave_at_random",
    ],
    "C9.2": ["tests/e2e/echo/test_path.py::test_when_a_client_leaves_its_engine_stops_within_a_second"],
    "C9.3": [
        "tests/e2e/ledger/test_ledger.py::test_c2_13_what_takes_too_long_is_a_504_that_is_not_repeated_and_ends_its_work"
    ],
}
"""Tests that bear no number: what needs two clients, a killed process, or a look inside."""


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def numbered(tests: Path) -> set[str]:
    """Return the lines that tests bear in their names: ``test_c2_13_...`` proves C2.13."""
    names = {name for path in tests.rglob("test_*.py") for name in functions_of(path)}
    found = (re.match(r"test_c(\d+)_(\d+)_", name) for name in names)
    return {f"C{match[1]}.{match[2]}" for match in found if match}


PROVEN = {check.line for check in CHECKS} | numbered(ROOT / "tests") | ELSEWHERE.keys()


@pytest.mark.parametrize("line", LINES)
def test_each_line_of_the_contract_is_proven(line: str) -> None:
    assert line in PROVEN


def test_no_check_and_no_test_proves_a_line_that_does_not_exist() -> None:
    assert PROVEN - LINES.keys() == set()


@pytest.mark.parametrize("test", [test for tests in ELSEWHERE.values() for test in tests])
def test_the_tests_that_are_named_exist(test: str) -> None:
    path, _, name = test.partition("::")
    assert name in functions_of(ROOT / path)


def test_no_two_checks_have_one_name() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
