# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.12.14", "secoda-async"]
# ///
"""A web service on aiohttp.web that reads and creates groups, with one client for all of its requests.

    SECODA_API_KEY=... python aiohttp_service.py --port 8081

A call that can't end within five seconds gets a 504. A create that would wait longer than two seconds for the write
limit gets a 429, immediately and before anything is sent. A caller can shorten the deadline: `X-Deadline: 0.5`.
"""

import argparse
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from secoda_async import SecodaClient, SecodaError, to_dict
from secoda_async.ext.web import answer_to

SECODA: Final = web.AppKey("SECODA", SecodaClient)
DEADLINE: Final = web.AppKey("DEADLINE", float)

routes = web.RouteTableDef()


def unprocessable(why: str) -> web.HTTPUnprocessableEntity:
    """Tell the caller what is wrong with the request."""
    return web.HTTPUnprocessableEntity(text=json.dumps({"error": why}), content_type="application/json")


def secoda_for(request: web.Request) -> SecodaClient:
    """Return the client, with the deadline of the request."""
    secoda = request.app[SECODA]
    try:
        seconds = float(request.headers.get("X-Deadline", "inf"))
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise unprocessable("X-Deadline must be a number of seconds greater than 0")
    return secoda if seconds >= request.app[DEADLINE] else secoda.with_options(deadline=seconds)


@routes.get("/groups/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one group."""
    group = await secoda_for(request).groups.get(request.match_info["id"])
    return web.json_response(to_dict(group))


@routes.post("/groups")
async def create(request: web.Request) -> web.Response:
    """Create a group."""
    try:
        new: object = await request.json()
    except ValueError:
        new = None
    match new:
        case {"name": str(name)} if name.strip():
            pass
        case _:  # not worth one of thirty writes a minute
            raise unprocessable('a group is made from a document such as {"name": "Analysts"}')
    group = await secoda_for(request).groups.create(name=name)
    return web.json_response(to_dict(group), status=201)


@web.middleware
async def errors_as_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with what the caller can do about an error."""
    try:
        return await handler(request)
    except SecodaError as error:
        logging.getLogger("service").warning("%s %s: %s", request.method, request.path, error)
        answer = answer_to(error)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)


def with_secoda(deadline: float, max_wait: float) -> Callable[[web.Application], AsyncIterator[None]]:
    """Open the client when the service starts, and close it when it ends."""

    async def opened(app: web.Application) -> AsyncIterator[None]:
        async with SecodaClient(deadline=deadline, max_wait=max_wait) as secoda:
            app[SECODA] = secoda
            yield

    return opened


def service(deadline: float = 5, max_wait: float = 2) -> web.Application:
    """Put the service together; both arguments are seconds."""
    app = web.Application(middlewares=[errors_as_answers])
    app[DEADLINE] = deadline
    app.cleanup_ctx.append(with_secoda(deadline, max_wait))
    app.add_routes(routes)
    return app


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--deadline", type=float, default=5, help="seconds for a call to Secoda")
    parser.add_argument("--max-wait", type=float, default=2, help="seconds that a create may wait for the write limit")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # With handler_cancellation a disconnected caller leaves the queue. A create that was in flight is logged as a
    # create whose outcome is unknown.
    app = service(options.deadline, options.max_wait)
    web.run_app(app, host="127.0.0.1", port=options.port, handler_cancellation=True)


if __name__ == "__main__":
    main()
