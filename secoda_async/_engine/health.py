"""The health check of the service."""

from typing import cast

from secoda_async._engine.call import Scope
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.wire import protocol
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async.config import API_PREFIX, CallOptions
from secoda_async.errors import NotFoundError, ResponseError


async def read_health(pipeline: Pipeline, options: CallOptions) -> str:
    """Return the status of the service.

    The docs do not say whether the path is beside or below `/api/v1`, so both are tried.
    """
    scope = Scope(began=pipeline.clock.now())
    try:
        return await _read_health_at("/healthcheck", pipeline, options, scope)
    except NotFoundError:
        pass
    return await _read_health_at(f"{API_PREFIX}/healthcheck", pipeline, options, scope)


async def _read_health_at(path: str, pipeline: Pipeline, options: CallOptions, scope: Scope) -> str:
    call = pipeline.call(Request("GET", path, route=path), options, scope)
    return await pipeline.send(call, _status)


def _status(reply: Reply) -> str:
    payload = protocol.json_of(reply)
    status = cast("dict[str, object]", payload).get("status") if isinstance(payload, dict) else None
    if not isinstance(status, str):
        raise ResponseError('health check response has no "status"', location="status")
    return status
