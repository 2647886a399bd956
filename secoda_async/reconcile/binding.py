"""Which workspace a plan is for: learned when the plan is made, and checked before it is applied."""

from collections.abc import Iterable
from contextlib import aclosing

from secoda_async.errors import StalePlanError
from secoda_async.models import Group, User
from secoda_async.reconcile.plan import Plan
from secoda_async.users import Users

__all__ = ["check_origin", "check_workspace", "learn_workspace"]


async def learn_workspace(known: Iterable[Group | User], users: Users) -> str | None:
    """Return the id of the workspace that groups and users are in; if none says it, read a page of users.

    The key's owner is a user, so that an empty workspace has at least one. None: nothing says it.
    """
    found = _said_by(known)
    if found is not None:
        return found
    async with aclosing(users.pages()) as pages:
        first = await anext(pages, None)
    return None if first is None else _said_by(first.items)


def _said_by(items: Iterable[Group | User]) -> str | None:
    return next((item.workspace_id for item in items if item.workspace_id), None)


def check_origin(plan: Plan, origin: str) -> None:
    """Refuse a plan that was made at another origin.

    Raises:
        StalePlanError: When it was; nothing was sent.
    """
    if plan.origin and plan.origin != origin:
        raise StalePlanError(
            f"the plan was made at {plan.origin} and this is {origin}: nothing was written. Plan again here"
        )


def check_workspace(plan: Plan, workspace: str | None) -> None:
    """Refuse a plan that was made for another workspace, or when the present one is not known.

    Raises:
        StalePlanError: When it was, or may have been; nothing was written.
    """
    if plan.workspace is None or plan.workspace == workspace:
        return
    if workspace is None:
        why = f"was made for the workspace {plan.workspace}, and nothing says which workspace this is"
    else:
        why = f"was made for another workspace ({plan.workspace}, and this is {workspace})"
    raise StalePlanError(f"the plan {why}: nothing was written. Plan again here")
