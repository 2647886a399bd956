"""Objects for `async for` that say what to write when they are awaited, or read by a plain `for`."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

T = TypeVar("T")


class AsyncForOnly:
    """Raises for `await` and for a plain `for`, with a hint."""

    hint: str

    def __init_subclass__(cls, *, hint: str = "") -> None:
        cls.hint = hint

    if not TYPE_CHECKING:  # type checkers report these mistakes by themselves

        def __await__(self) -> NoReturn:
            raise TypeError(f"this can't be awaited: {self.hint}")

        def __iter__(self) -> NoReturn:
            raise TypeError(f"`for` needs `async` here: {self.hint}")


class Listing(AsyncForOnly, AsyncGenerator[T, None]):
    """Passes everything on to an async generator; `async for` uses that generator itself."""

    def __init__(self, inner: AsyncGenerator[T, None], hint: str) -> None:
        self._inner = inner
        self.hint = hint

    def __repr__(self) -> str:
        return f"<async generator: {self.hint}>"

    def __aiter__(self) -> AsyncIterator[T]:
        return self._inner

    async def __anext__(self) -> T:
        return await anext(self._inner)

    async def asend(self, value: None, /) -> T:
        """Resume the generator."""
        return await self._inner.asend(value)

    async def athrow(self, *error: Any) -> T:  # noqa: ANN401 - passed on
        """Raise an error in the generator."""
        return await self._inner.athrow(*error)

    async def aclose(self) -> None:
        """Close the generator."""
        await self._inner.aclose()


def add_hint(inner: AsyncGenerator[T, None], collection: str, item: str, method: str) -> AsyncGenerator[T, None]:
    """Wrap the async generator of a list or of pages.

    Args:
        inner: The generator.
        collection: `groups` or `users`.
        item: The word for one item in the hint.
        method: The method that was called.
    """
    use = f"use `async for {item} in secoda.{collection}.{method}()`"
    return Listing(inner, f"{use}, or `await secoda.{collection}.snapshot()` for a list")
