"""Models and pages of 2xx responses: read in one pass, or parsed and structured if they are unusual."""

from collections.abc import Sequence
from typing import TypeVar

from secoda_async._engine.wire import codec
from secoda_async._engine.wire.envelope import Envelope
from secoda_async._engine.wire.protocol import Reply, json_of
from secoda_async._engine.wire.rows import reader_of
from secoda_async.errors import ResponseError
from secoda_async.models import Group, GroupFields, User

T = TypeVar("T", Group, User)


def model_of(reply: Reply, model: type[T], needed: Sequence[str] = (), sent: GroupFields | None = None) -> T:
    """Return the model in a response. A group shares the values that were sent, if the response shows them.

    Raises:
        ResponseError: When the response is not what the API promises, or lacks a field that is `needed`.
    """
    item = reader_of(model).read(reply.body, sent)
    if item is not None:
        return item
    payload = json_of(reply)
    codec.require_keys(payload, needed)
    structured: T = codec.structure(payload, model)
    return structured


def page_of(
    reply: Reply, model: type[T], *, skip_invalid: bool, needed: Sequence[str], strings: dict[str, str] | None
) -> tuple[Envelope, Sequence[T], Sequence[ResponseError]]:
    """Return the page in a response, its items, and with `skip_invalid` an error for each item that is left out.

    Args:
        reply: The response.
        model: The model of the items.
        skip_invalid: Whether to leave out items that can't be read.
        needed: Fields that every item must have.
        strings: Strings that came before. Equal strings are one object in all pages that are read with it.

    Raises:
        ResponseError: When the response is not what the API promises.
    """
    page = reader_of(model).read_page(reply.body, strings)
    if page is not None:
        return page[0], page[1], ()
    envelope: Envelope = codec.structure(json_of(reply), Envelope)
    items, invalid = codec.structure_all(envelope.results, model, skip_invalid=skip_invalid)
    for index, payload in enumerate(envelope.results):
        codec.require_keys(payload, needed, f"results[{index}].")
    return envelope, items, invalid
