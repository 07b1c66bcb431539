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


class Somebody:
    """A user who may log out and be deleted by the requests, and what is theirs: each operation begins with another."""

    def __init__(self, url: str) -> None:
        account = {"email": f"{uuid.uuid4().hex}@company.example", "password": "secret-123"}
        with httpx.Client(base_url=url, verify=False) as client:
            user = self.made(client, "/auth/signup", account)
            token = client.post("/auth/login", json=account).json()["access_token"]
            self.headers = {"Authorization": f"Bearer {token}"}
            client.headers.update(self.headers)
            organization = self.made(client, "/api/organizations", {"name": "Mine"})
            agent = self.made(client, "/api/agents", {"organization_id": organization, "name": "Writer"})
            conversation = self.made(client, "/api/conversations", {})
        self.ids = {
            "user_id": user,
            "organization_id": organization,
            "agent_id": agent,
            "conversation_id": conversation,
        }

    def made(self, client: httpx.Client, path: str, body: dict[str, str]) -> str:
        answer = client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest.fixture
def somebody(url: str) -> Somebody:
    return Somebody(url)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_answers_are_as_described(operation: Any, url: str, somebody: Somebody) -> None:
    existing = {name: found for name, found in somebody.ids.items() if f"{{{name}}}" in operation.path}
    good = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if existing:
        good |= operation.as_strategy(generation_mode=GenerationMode.POSITIVE, path_parameters=existing)
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
        options = {"session": session, "headers": somebody.headers, "timeout": 100}  # a busy machine is no failure
        case.call_and_validate(base_url=url, checks=CHECKS, **options)

    with session:
        check()
