"""Declarative groups: read a desired state from files, plan the changes to a workspace, and apply them.

The modules in reading order: `files` reads and writes files of groups; `desired_group`, `scope` and `desired` are the
desired state; `matching` and `member_resolver` find the groups and users that it means; `diff` makes the `plan`;
`safety` and `similar_names` check the plan; `apply` writes it, with `reader`, `drift`, `change_state` and
`verification`, and logs to the `journal`; `journal_runs`, `reversal` and `undo` plan the way back. `client_calls`
connects these parts with a client, `render` and `markdown` show a plan, and `explanation` explains the groups of one
person.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secoda_async.reconcile.desired import DesiredState
    from secoda_async.reconcile.desired_group import DesiredGroup
    from secoda_async.reconcile.journal_runs import JournalRun, LoggedChange, load_runs
    from secoda_async.reconcile.plan import Breach, Change, Conflict, Held, Plan
    from secoda_async.reconcile.report import Progress, Report
    from secoda_async.reconcile.safety import Limit, Rules, UnknownMembers
    from secoda_async.reconcile.undo import plan_undo
else:
    # Names are imported on first use, as in `secoda_async`: the command line needs few of them to show a help text.
    _MODULES = ("desired_group", "desired", "plan", "report", "safety", "journal_runs", "undo")

    def __getattr__(name: str) -> object:
        """Import a public name or module on first use."""
        if name in __all__:
            modules = (import_module(f"{__name__}.{module}") for module in _MODULES)
            return globals().setdefault(name, next(getattr(each, name) for each in modules if hasattr(each, name)))
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """List every public name, imported or not."""
        return sorted({*globals(), *__all__})


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
