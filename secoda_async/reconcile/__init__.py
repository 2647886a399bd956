"""Files of groups: what a workspace should hold."""

from secoda_async.reconcile.desired import DesiredGroup, DesiredState

__all__ = ["DesiredGroup", "DesiredState"]
