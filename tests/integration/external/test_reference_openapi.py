"""The reference service's description is true: requests made from it are answered as it says, and never by 500."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as openapi_checks

from test_framework.external.application import reference_application
from test_framework.external.backing import Backing
from test_framework.external.reference.app import description
from test_framework.external.serving import start_service

OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(description()).get_all_operations()]
# Operations without parameters or a body.
NOTHING_TO_GET_WRONG = {"GET /auth/me", "POST /auth/logout", "GET /healthz"}
CHECKS = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
    openapi_checks.missing_required_header,
    openapi_checks.ignored_auth,
]


@pytest.fixture(scope="module")
def url(backing: Backing) -> Iterator[str]:
    service = start_service(reference_application(), backing)
    yield service.url
    service.stop()


@pytest.fixture(scope="module")
def token(url: str) -> str:
    """Of somebody who may log out and be deleted by the requests: each operation begins with a user of its own."""
    account = {"email": f"{uuid.uuid4().hex}@company.example", "password": "secret-123"}
    with httpx.Client(base_url=url) as client:
        assert client.post("/auth/signup", json=account).status_code == 201
        return str(client.post("/auth/login", json=account).json()["access_token"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_answers_are_as_described(operation: Any, url: str, token: str) -> None:
    good = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    bad = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    session = requests.Session()

    @given(case=good | bad if operation.label not in NOTHING_TO_GET_WRONG else good)
    @settings(
        max_examples=20,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: schemathesis.Case) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        case.call_and_validate(base_url=url, session=session, headers=headers, checks=CHECKS)

    with session:
        check()
