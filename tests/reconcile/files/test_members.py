"""Members as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.reconcile.files.members import MemberError, parse_member

ANA, BEN = "ana@example.com", "ben@example.com"
UUIDS = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"]


@pytest.mark.parametrize(
    ("text", "members"),
    [
        (ANA, [ANA]),
        (f"  {ANA}\u00a0", [ANA]),
        (f"{ANA};{BEN}", [ANA, BEN]),
        (f"{ANA}; {BEN};", [ANA, BEN]),
        (f"{ANA}, {BEN}", [ANA, BEN]),
        (f"{ANA}\n{BEN}\r\n", [ANA, BEN]),
        (f"{ANA} {BEN}", [ANA, BEN]),
        (" ".join(UUIDS), UUIDS),
        (f"{UUIDS[0]};{ANA}", [UUIDS[0], ANA]),
        ("u-1", ["u-1"]),
        ("u-1,u-2", ["u-1", "u-2"]),
        ("+1", ["+1"]),
        (f"mailto:{ANA}", [ANA]),
        (f"MAILTO:{ANA}?subject=Hello", [ANA]),
        ("mailto:ana%2Bx@example.com", ["ana+x@example.com"]),
        (f"Ana Alves <{ANA}>", [ANA]),
        (f"<{ANA}>", [ANA]),
        (f'"Alves, Ana" <{ANA}>; "Bo; Ben" <{BEN}>', [ANA, BEN]),
        (f"Ana <mailto:{ANA}>, {BEN}", [ANA, BEN]),
        (f"Ana <{ANA}>, u-1", [ANA, "u-1"]),
        ("o'brien+x@mail.example.co.uk", ["o'brien+x@mail.example.co.uk"]),
    ],
    ids=str,
)
def test_addresses_and_ids_are_read(text: str, members: list[str]) -> None:
    assert parse_member(text) == members


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (";", "';' names no member: write an e-mail address or id"),
        ("Ana <>", "'Ana <>' names no member"),
        ("#N/A", "'#N/A' is an error value of a spreadsheet: write an e-mail address or id"),
        ("mia@exa", "'mia@exa' is not an e-mail address, perhaps cut off: complete it"),
        ("mia@", "'mia@' is not an e-mail address"),
        ("@example.com", "'@example.com' is not an e-mail address"),
        ("mia@example.", "'mia@example.' is not an e-mail address"),
        (f"{ANA}{BEN}", f"'{ANA}{BEN}' is not an e-mail address"),
        ("Ana Alves", "'Ana Alves' is neither an e-mail address nor an id: write one of them"),
        (f"{ANA} ben", f"'{ANA} ben' is neither"),
        (f"Ana <{ANA}> Ben <{BEN}>", f"'Ana <{ANA}> Ben <{BEN}>' is not an e-mail address"),
        (f"<{ANA}", f"'<{ANA}' is neither"),
        (f'{ANA}"', f"""'{ANA}"' is neither"""),
        (f"[Ana](mailto:{ANA})", f"'[Ana](mailto:{ANA})' is neither"),
        (f"{ANA}\u200b", f"'{ANA}\\u200b' contains an invisible character: type it again"),
        (f"Alves, Ana <{ANA}>", "'Alves' may be part of a name: put the name in double quotes, or leave only the addr"),
        (f"{ANA};mia@exa", "'mia@exa' is not an e-mail address"),
        ("mailto:ana%2Cben@example.com", "'ana,ben@example.com' is neither"),
        ("a b" * 100_000, f"'{('a b' * 34)[:100]}...' is neither"),
    ],
    ids=lambda text: text[:40],
)
def test_odd_text_is_refused(text: str, problem: str) -> None:
    with pytest.raises(MemberError) as caught:
        parse_member(text)
    assert str(caught.value).startswith(problem)


LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-+'_", min_size=1, max_size=8)
ADDRESSES = st.builds("{}@{}.{}".format, LABELS, LABELS, LABELS)


@given(st.lists(ADDRESSES | LABELS, min_size=1, max_size=6), st.sampled_from([";", ",", "\n", "; ", " , ", "\r\n"]))
def test_separated_members_are_read_in_order(members: list[str], separator: str) -> None:
    assert parse_member(separator.join(members)) == members


@given(st.text(max_size=40))
def test_member_never_contains_a_separator_or_a_blank(text: str) -> None:
    try:
        members = parse_member(text)
    except MemberError:
        return
    assert members
    assert not any(set(member) & set(' ;,"<>\n\t') for member in members)
    assert [parsed for member in members for parsed in parse_member(member)] == members
