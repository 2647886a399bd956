"""Desired state in, the fewest writes out: files of groups, plans, and carrying them out."""

from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.diff import Limit, UnknownMembers
from secoda_async.reconcile.plan import Breach, Change, Conflict, Plan
from secoda_async.reconcile.report import Progress, Report

__all__ = [
    "Breach",
    "Change",
    "Conflict",
    "DesiredGroup",
    "DesiredState",
    "Limit",
    "Plan",
    "Progress",
    "Report",
    "UnknownMembers",
]
