"""A Secoda workspace on 127.0.0.1, for demos and tests.

It imports nothing of the SDK on purpose: a shared parser would share its misunderstandings.
"""

from secoda_async.emulator.faults import Fault, Faults
from secoda_async.emulator.request_log import RecordedRequest
from secoda_async.emulator.server import Emulator

__all__ = ["Emulator", "Fault", "Faults", "RecordedRequest"]
