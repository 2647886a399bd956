"""Content encodings, decoded with bounds: gzip and deflate, the only ones that requests offer.

aiohttp decodes too, but accepts a gzip body without its checksum, offers Brotli that old versions of the package
can't decode, and has no bound on the size of a decoded body.
"""

import zlib
from collections.abc import Generator
from typing import Final

MAX_RECEIVED: Final = 64 * 2**20
"""Bytes of a body on the network. The largest known page (100 groups of 10,000 members) has 40 MB uncompressed."""

MAX_DECODED: Final = 128 * 2**20
"""Bytes of a body after decoding: a few kilobytes of gzip can stand for gigabytes."""

LARGE: Final = 2**20
"""Bytes of a body that take about 10 ms to read. A larger one is read in a thread, and item by item."""

PIECE: Final = 2**20
"""Bytes that one step decodes at most, so that other tasks of the event loop run in between."""

_GZIP: Final = zlib.MAX_WBITS | 16


class CutShortError(Exception):
    """The body ends before its encoding does, or is corrupt."""


class UnusableBodyError(Exception):
    """The body is complete and can't be used: its encoding is unknown, or it is too large. The message says which."""


class Decoder:
    """Decodes the content encoding of one body, chunk by chunk.

    Args:
        encoding: The values of `Content-Encoding`, joined with commas.
        length: The bytes that `Content-Length` announces, if it does.

    Raises:
        UnusableBodyError: When the encoding is neither gzip nor deflate, or the length too large.
    """

    def __init__(self, encoding: str, length: int | None = None) -> None:
        name = encoding.strip().lower()
        if name not in _KNOWN:
            raise UnusableBodyError(f"its content encoding, {name[:40]!r}, is neither gzip nor deflate")
        if length is not None and length > MAX_RECEIVED:
            raise _too_large(MAX_RECEIVED)
        self._name = name
        self._pieces: list[bytes] = []
        self._received = self._decoded = 0
        self._is_raw = name in _NONE
        self._inflater = zlib.decompressobj(_GZIP) if name in _GZIPS else None

    def feed(self, chunk: bytes) -> Generator[None, None, None]:
        """Decode a chunk; yields between steps of at most `PIECE` bytes.

        Raises:
            CutShortError: When the data is corrupt.
            UnusableBodyError: When the body is too large.
        """
        self._received += len(chunk)
        if self._received > MAX_RECEIVED:
            raise _too_large(MAX_RECEIVED)
        if self._is_raw:
            self._keep(chunk)
            return
        is_full = False
        while chunk or is_full:
            chunk, is_full = self._inflate(chunk)
            if chunk or is_full:
                yield

    def _inflate(self, chunk: bytes) -> tuple[bytes, bool]:
        """Decode up to `PIECE` bytes; return the input that is left, and whether more output may be pending."""
        if self._inflater is None:  # deflate: with a zlib header (RFC 9110), or without, as some servers send it
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if chunk[0] & 0xF == zlib.DEFLATED else -zlib.MAX_WBITS)
        elif self._inflater.eof:
            if not (self._name in _GZIPS and chunk.startswith(b"\x1f")):
                return b"", False  # padding after the end
            self._inflater = zlib.decompressobj(_GZIP)  # one more member
        try:
            piece = self._inflater.decompress(chunk, PIECE)
        except zlib.error:
            raise CutShortError from None
        self._keep(piece)
        return self._inflater.unconsumed_tail or self._inflater.unused_data, len(piece) == PIECE

    def _keep(self, piece: bytes) -> None:
        self._decoded += len(piece)
        if self._decoded > MAX_DECODED:
            raise _too_large(MAX_DECODED)
        self._pieces.append(piece)

    def finish(self) -> bytes:
        """Return the decoded body.

        Raises:
            CutShortError: When the end of the encoded data, with its checksum, is missing.
        """
        if self._received and not self._is_raw and not (self._inflater and self._inflater.eof):
            raise CutShortError
        return b"".join(self._pieces)


_NONE: Final = frozenset({"", "identity"})
_GZIPS: Final = frozenset({"gzip", "x-gzip"})
_KNOWN: Final = _NONE | _GZIPS | {"deflate"}


def _too_large(limit: int) -> UnusableBodyError:
    """Name the bound that a body exceeds."""
    return UnusableBodyError(f"it is larger than {limit // 2**20} MiB")
