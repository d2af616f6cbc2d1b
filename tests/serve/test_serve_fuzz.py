"""Requests made up from the API's own description, right and wrong ones: no failure, and answers as described."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

POSTED = 12  # examples per route that takes a body, about half of them against the schema
ASKED = 3


def test_no_made_up_request_fails_the_server(address: str) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    checks = [not_a_server_error, response_schema_conformance, status_code_conformance]
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    statuses: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        posts = operation.method == "post"

        @settings(
            max_examples=POSTED if posts else ASKED, derandomize=True, database=None, deadline=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=cases(operation, posts), known=st.booleans())
        def ask(case: Any, known: bool) -> None:
            if known and "name" in (case.path_parameters or {}):
                case.path_parameters["name"] = "expression"
            response = case.call(timeout=60)
            statuses.setdefault(f"{case.method} {case.path}", set()).add(response.status_code)
            case.validate_response(response, checks=checks)

        ask()
    assert len(statuses) == 19
    assert 400 in statuses["POST /v1/models/{name}:predict"]
    assert statuses["GET /models"] == {200}


def cases(operation: Any, posts: bool) -> Any:
    """Requests of an operation: according to its schema, and where it takes a body also against it."""
    modes = schemathesis.GenerationMode
    right = operation.as_strategy(generation_mode=modes.POSITIVE)
    return right | operation.as_strategy(generation_mode=modes.NEGATIVE) if posts else right
