"""Content encodings are decoded whole, within bounds, whatever the chunks are."""

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async._engine.wire import decoding
from secoda_async._engine.wire.decoding import CutShortError, Decoder, UnusableBodyError


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    " GZIP ": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
}


def decoded(encoding: str, *chunks: bytes) -> bytes:
    decoder = Decoder(encoding)
    for chunk in chunks:
        for _ in decoder.feed(chunk):
            pass
    return decoder.finish()


@pytest.mark.requirement("RT-14")
@settings(deadline=None)
@given(
    encoding=st.sampled_from(sorted(ENCODINGS)),
    body=st.one_of(st.binary(), st.builds(bytes.__mul__, st.binary(min_size=1, max_size=3), st.integers(0, 4_000))),
    piece=st.sampled_from([1, 7, 2**20]),
    size=st.integers(1, 40),
)
def test_any_body_is_decoded_in_any_chunks(encoding: str, body: bytes, piece: int, size: int) -> None:
    data = ENCODINGS[encoding](body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PIECE", piece)
        assert decoded(encoding, *(data[start : start + size] for start in range(0, len(data), size))) == body


@pytest.mark.requirement("RT-14")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "Deflate"])
def test_every_prefix_of_a_body_is_cut_short(encoding: str) -> None:
    data = ENCODINGS[encoding](b"some text, some text, some text")
    for end in range(1, len(data)):
        with pytest.raises(CutShortError):
            decoded(encoding, data[:end])


@pytest.mark.requirement("RT-14")
def test_a_wrong_checksum_is_corrupt() -> None:
    data = bytearray(gzip.compress(b"text"))
    data[-5] ^= 1
    with pytest.raises(CutShortError) as caught:
        decoded("gzip", bytes(data))
    assert caught.value.__cause__ is None


def test_gzip_may_have_several_members_and_padding() -> None:
    assert decoded("gzip", gzip.compress(b"a") + gzip.compress(b"b"), gzip.compress(b"c") + b"\0\0") == b"abc"
    assert decoded("deflate", zlib.compress(b"a") + b"\0\0") == b"a"
    assert decoded("gzip") == b""


@pytest.mark.requirement("RT-14")
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_another_encoding_is_named(encoding: str) -> None:
    with pytest.raises(UnusableBodyError, match=f"{encoding!r}, is neither gzip nor deflate"):
        Decoder(encoding)


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_decoding_stops_at_the_bound(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(decoding, "MAX_DECODED", 2 * decoding.PIECE)
    assert len(decoded(encoding, ENCODINGS[encoding](b" " * decoding.MAX_DECODED))) == decoding.MAX_DECODED
    with pytest.raises(UnusableBodyError, match="larger than 2 MiB"):
        decoded(encoding, ENCODINGS[encoding](b" " * (decoding.MAX_DECODED + 1)))
