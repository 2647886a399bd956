"""The OpenAPI document of the calls that an emulator serves."""

import json
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from secoda_async.emulator.stubs import PARAMETER, Stub


def openapi_document(url: str | None = None, stubs: Iterable[Stub] = ()) -> dict[str, Any]:
    """Return the document: `openapi.json` of this package, with the origin and the stubs of an emulator."""
    text = files("secoda_async.emulator").joinpath("openapi.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    if url is not None:
        document["servers"][0]["url"] = url
    for stub in stubs:
        document["paths"].setdefault(stub.path, {})[stub.method.lower()] = _operation(stub)
    return document


def _operation(stub: Stub) -> dict[str, Any]:
    names = [re.sub("[{}]", "", name) for name in PARAMETER.findall(stub.path)]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    responses = {str(stub.status): {"description": "The response of a stub."}}
    return {"tags": ["stubs"], "parameters": parameters, "responses": responses}
