"""Hypothesis strategies for small workspaces."""

from hypothesis import strategies as st

from secoda_async import Group
from tests.support.plans import USERS

NAMES = st.sampled_from("abcdef")
PEOPLE = st.lists(st.sampled_from([user.id for user in USERS]), unique=True).map(tuple)
TEXTS = st.sampled_from([None, "", "x", "y"])
GROUPS = st.lists(
    st.builds(Group, id=st.uuids().map(str), name=NAMES, icon=TEXTS, description=TEXTS, users=PEOPLE),
    unique_by=lambda group: group.id,
    max_size=6,
)
