"""Validate requests and responses against the emulator's OpenAPI document."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import jsonschema
import orjson

from secoda_async.emulator import RecordedRequest
from secoda_async.emulator.openapi import openapi_document
from secoda_async.emulator.responses import Response

DOCUMENT = openapi_document()
PATTERNS = {re.compile(f"{re.sub('{[^}]+}', '[^/]+', path)}/?"): path for path in DOCUMENT["paths"]}


def validate(value: Any, reference: str) -> None:
    """Validate against a schema, such as `#/components/schemas/Group`.

    Raises:
        ValidationError: The value does not match.
    """
    _validator_of(reference).validate(value)  # pyright: ignore[reportUnknownMemberType]


@cache
def _validator_of(reference: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": reference, "components": DOCUMENT["components"]})


def resolve(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference, if the value is one."""
    if "$ref" not in value:
        return value
    found: Any = DOCUMENT
    for key in value["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return found  # type: ignore[no-any-return]


def operation_of(record: RecordedRequest) -> Mapping[str, Any] | None:
    """Return the operation of a request; None for a path or a method that is not in the document."""
    path = next((path for pattern, path in PATTERNS.items() if pattern.fullmatch(record.path)), None)
    return None if path is None else DOCUMENT["paths"][path].get(record.method.lower())


def check_requests(records: Iterable[RecordedRequest]) -> None:
    """Require that the SDK's requests are as the document says, without parameters and fields that it lacks."""
    for record in records:
        operation = operation_of(record)
        if operation is None or "secoda-async" not in record.headers.get("User-Agent", ""):
            continue
        known = {resolve(parameter)["name"] for parameter in operation.get("parameters", ())}
        given = {name for name, _ in parse_qsl(record.target.partition("?")[2], keep_blank_values=True)}
        assert given <= known, record
        if record.body:
            assert "requestBody" in operation, record
            assert record.headers["Content-Type"] == "application/json", record
            validate(record.json, "#/components/schemas/GroupWrite")
            assert set(record.json) <= set(DOCUMENT["components"]["schemas"]["GroupWrite"]["properties"]), record


def check_response(record: RecordedRequest, response: Response) -> None:
    """Require that a response has a status, headers and a body of the document."""
    operation = operation_of(record)
    assert operation is not None, record
    expected = resolve(operation["responses"][str(response.status)])
    headers = dict(response.headers)
    for name, header in expected.get("headers", {}).items():
        assert name in headers or not header.get("required"), record
    if "content" not in expected:
        assert response.body == b"", record
        return
    content = expected["content"][headers["Content-Type"]]
    validate(orjson.loads(response.body), content["schema"]["$ref"])
