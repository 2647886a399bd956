"""Users by id and by e-mail address. No other code decides which user an address means."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from secoda_async.errors import AmbiguousNameError, InvalidArgumentError
from secoda_async.models import User, normalize

__all__ = ["UserIndex"]


class UserIndex:
    """The users of a workspace, prepared for lookups."""

    def __init__(self, users: Iterable[User], members: Iterable[str] = ()) -> None:
        """Index users. `members` are further ids that count as known, such as ids of groups' members."""
        self.by_id: Mapping[str, User] = {user.id: user for user in users}
        self.ids: frozenset[str] = frozenset(self.by_id).union(members)
        """Every known id, of users and of members of groups."""
        self._by_address: dict[str, list[User]] = defaultdict(list)
        for user in self.by_id.values():
            if user.email:
                self._by_address[_key(user.email)].append(user)

    def with_address(self, address: str) -> Sequence[User]:
        """Return every user with this address, in any letter case."""
        return self._by_address.get(_key(address), ())

    def find(self, address: str) -> User | None:
        """Return the user with an address, or None.

        A single user is returned even if the letter case differs. Of several users, the only enabled one with exactly
        this address is returned.

        Raises:
            AmbiguousNameError: When the address fits several users and the rule selects none of them.
        """
        users = self.with_address(address)
        if len(users) <= 1:
            return next(iter(users), None)
        wanted = normalize(address)
        exact = [user for user in users if user.email == wanted and not user.disabled]
        if len(exact) == 1:
            return exact[0]
        ids = tuple(sorted(user.id for user in users))
        raise AmbiguousNameError(
            f"{address!r} is the address of {len(ids)} users ({', '.join(ids)}): use one of these ids", candidates=ids
        )

    def pending(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Return the sorted ids of those users who have a pending invitation."""
        return tuple(sorted(user for user in ids if user in self.by_id and self.by_id[user].pending))

    def disabled(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Return the sorted ids of those users whose account is disabled."""
        return tuple(sorted(user for user in ids if user in self.by_id and self.by_id[user].disabled))

    def emails(self, ids: Iterable[str]) -> Mapping[str, str]:
        """Return the e-mail addresses of users by id, sorted; not of those who have none."""
        known = {user: self.by_id[user].email for user in sorted(ids) if user in self.by_id}
        return {user: email for user, email in known.items() if email}

    def id_of(self, member: str) -> str | None:
        """Return the id of a member given by id or address, or None.

        Raises:
            AmbiguousNameError: As for `find`.
        """
        if member in self.ids:
            return member
        user = self.find(member)
        return None if user is None else user.id

    def ids_of(self, members: Iterable[str]) -> list[str]:
        """Return the id of each member, in order.

        Raises:
            AmbiguousNameError: When addresses fit several users, and all members are known.
            InvalidArgumentError: When an id or address is unknown. The message names the ambiguous addresses too.
        """
        ids: list[str] = []
        unknown: dict[str, None] = {}
        ambiguous: dict[str, tuple[str, ...]] = {}
        for member in members:
            try:
                user_id = self.id_of(member)
            except AmbiguousNameError as error:
                ambiguous[error.message] = error.candidates
                continue
            if user_id is None:
                unknown[member] = None
            else:
                ids.append(user_id)
        if unknown:
            raise InvalidArgumentError("; ".join([f"no user has {_listed(unknown)}", *ambiguous]))
        if ambiguous:
            fault = AmbiguousNameError("; ".join(ambiguous))
            fault.candidates = tuple(dict.fromkeys(user for users in ambiguous.values() for user in users))
            raise fault
        return ids


def _listed(unknown: Iterable[str]) -> str:
    addresses = [member for member in unknown if "@" in member]
    others = [member for member in unknown if "@" not in member]
    parts = [f"the address {', '.join(addresses)}"] if addresses else []
    return " or ".join([*parts, *([f"the id {', '.join(others)}"] if others else [])])


def _key(address: str) -> str:
    """Return the form in which addresses are compared.

    `lower` rather than `casefold`, which makes the addresses of different people equal ("ß" and "ss").
    """
    return normalize(address).lower()
