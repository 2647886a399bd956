"""The workspace that the files of people are made for, and the directory of the original files."""

from pathlib import Path
from typing import Final

from secoda_async import Group, User

SHARED: Final = Path(__file__).parents[2].parent / "shared" / "data" / "files"

USERS: Final = [User(name, f"{name}@example.com") for name in ("ana", "ben", "eve", "joe", "mia", "kim", "lee", "max")]

GROUPS: Final = [
    Group("g-1", "Data Stewards", users=("ana", "ben", "eve")),
    Group("g-2", "Finance", users=("joe", "mia")),
    Group("g-3", "Café", users=("kim",)),
    Group("g-4", "Legal"),
]
