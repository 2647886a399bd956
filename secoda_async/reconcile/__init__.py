"""Declarative groups: read a desired state from files, plan the changes to a workspace, and apply them."""

from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.journal_runs import JournalRun, LoggedChange, load_runs
from secoda_async.reconcile.plan import Breach, Change, Conflict, Held, Plan
from secoda_async.reconcile.report import Progress, Report
from secoda_async.reconcile.safety import Limit, Rules, UnknownMembers
from secoda_async.reconcile.undo import plan_undo

__all__ = [
    "Breach",
    "Change",
    "Conflict",
    "DesiredGroup",
    "DesiredState",
    "Held",
    "JournalRun",
    "Limit",
    "LoggedChange",
    "Plan",
    "Progress",
    "Report",
    "Rules",
    "UnknownMembers",
    "load_runs",
    "plan_undo",
]
