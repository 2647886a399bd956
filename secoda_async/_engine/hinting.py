"""An async generator that says what to do when it is awaited, or read by a plain `for`."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

T = TypeVar("T")


class HintingGenerator(AsyncGenerator[T, None]):
    """Passes everything on to an async generator; `async for` uses that generator itself."""

    def __init__(self, inner: AsyncGenerator[T, None], hint: str) -> None:
        self._inner = inner
        self._hint = hint

    def __repr__(self) -> str:
        return f"<async generator: {self._hint}>"

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

    if not TYPE_CHECKING:  # type checkers report these mistakes by themselves

        def __await__(self) -> NoReturn:
            raise TypeError(f"this is an async generator, and can't be awaited: {self._hint}")

        def __iter__(self) -> NoReturn:
            raise TypeError(f"this is an async generator, and `for` needs `async`: {self._hint}")


def hinting(inner: AsyncGenerator[T, None], collection: str, item: str, method: str) -> AsyncGenerator[T, None]:
    """Wrap what `secoda.groups.list()` and the like return.

    Args:
        inner: The generator.
        collection: `groups` or `users`.
        item: The word for one item in the hint.
        method: The method that was called.
    """
    use = f"use `async for {item} in secoda.{collection}.{method}()`"
    return HintingGenerator(inner, f"{use}, or `await secoda.{collection}.snapshot()` for a list")
