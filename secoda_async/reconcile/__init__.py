"""Declarative groups: read a desired state from files, plan the changes to a workspace, and apply them."""

from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.plan import Breach, Change, Conflict, Held, Plan
from secoda_async.reconcile.report import Progress, Report
from secoda_async.reconcile.safety import Limit, UnknownMembers

__all__ = [
    "Breach",
    "Change",
    "Conflict",
    "DesiredGroup",
    "DesiredState",
    "Held",
    "Limit",
    "Plan",
    "Progress",
    "Report",
    "UnknownMembers",
]
