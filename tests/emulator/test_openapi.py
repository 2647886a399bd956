"""The OpenAPI document of the emulator."""

from secoda_async.emulator import Emulator
from secoda_async.emulator.openapi import openapi_document
from secoda_async.emulator.routes import ROUTES
from tests.support.emulator_calls import Caller


def test_openapi_has_the_paths_and_methods_of_the_routes() -> None:
    paths = openapi_document()["paths"]
    methods = {path: {name.upper() for name in item if name != "parameters"} for path, item in paths.items()}
    for route in ROUTES:
        (path,) = [path for path in methods if route.pattern.fullmatch(path)]
        assert methods.pop(path) | {"HEAD"} == set(route.views)
    assert methods == {}


async def test_openapi_is_served_with_the_origin_and_the_stubs(emulator: Emulator, call: Caller) -> None:
    emulator.stubs.add("PUT", "/api/v1/tag/{id}", status=202)
    emulator.stubs.add("POST", "/api/v1/user")
    emulator.trailing_slash = True
    reply = await call("GET", "/openapi.json", key=None)
    document = reply.json
    assert document == emulator.openapi()
    assert document["servers"][0]["url"] == emulator.url
    assert set(document["paths"]["/api/v1/user"]) == {"get", "post"}
    stub = document["paths"]["/api/v1/tag/{id}"]["put"]
    assert stub["parameters"] == [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    assert list(stub["responses"]) == ["202"]
    assert emulator.requests == []
