"""A web service on aiohttp.web that reads and creates groups, with one client for all of its requests.

    SECODA_API_KEY=... python aiohttp_service.py --port 8081

Nobody waits long: a read or a create that can't end within five seconds is answered with 504, and a create that
would wait longer than two for the write limit with 429, at once and before anything is sent.
"""

import argparse
import logging
import math
from collections.abc import AsyncIterator, Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from secoda_async import (
    BadRequestError,
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitError,
    SecodaClient,
    SecodaError,
    to_dict,
)

SECODA: Final = web.AppKey("SECODA", SecodaClient)

STATUSES: Final[Mapping[type[SecodaError], int]] = {
    InvalidArgumentError: 422,
    BadRequestError: 422,
    NotFoundError: 404,
    RateLimitError: 429,
    DeadlineExceededError: 504,
}
"""How an error is answered; any other means that Secoda can't be asked just now: 502."""

routes = web.RouteTableDef()


@routes.get("/groups/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one group."""
    group = await request.app[SECODA].groups.get(request.match_info["id"])
    return web.json_response(to_dict(group))


@routes.post("/groups")
async def create(request: web.Request) -> web.Response:
    """Create a group."""
    name = (await request.post()).get("name")
    if not isinstance(name, str) or not name.strip():
        raise web.HTTPUnprocessableEntity(text="a group needs a name")  # not worth one of thirty writes a minute
    group = await request.app[SECODA].groups.create(name=name)
    return web.json_response(to_dict(group), status=201)


@web.middleware
async def errors_as_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with what the caller can do about an error."""
    try:
        return await handler(request)
    except SecodaError as error:
        failed = error
    status = next((status for kind, status in STATUSES.items() if isinstance(failed, kind)), 502)
    answer = {"error": failed.message}
    if isinstance(failed, OutcomeUnknownError):
        answer["advice"] = "The group may have been created: look for it before you ask again."
    wait = getattr(failed, "retry_after", None)
    headers = {} if wait is None else {"Retry-After": str(math.ceil(wait))}
    return web.json_response(answer, status=status, headers=headers)


async def with_secoda(app: web.Application) -> AsyncIterator[None]:
    """Open the client when the service starts, and close it when it ends."""
    async with SecodaClient(deadline=5, max_wait=2) as secoda:
        app[SECODA] = secoda
        yield


def service() -> web.Application:
    """Put the service together."""
    app = web.Application(middlewares=[errors_as_answers])
    app.cleanup_ctx.append(with_secoda)
    app.add_routes(routes)
    return app


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8081)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # handler_cancellation: who hangs up leaves the queue. A create that was on the wire by then is logged as a
    # create whose outcome is not known.
    web.run_app(service(), host="127.0.0.1", port=parser.parse_args().port, handler_cancellation=True)


if __name__ == "__main__":
    main()
