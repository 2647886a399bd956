"""A Secoda workspace on this machine, for demos and tests.

The emulator imports nothing else of the SDK, on purpose: a shared parser would share its mistakes.

Read in this order: `server` (start, stop), `handler` (one HTTP request and its fault), `application` (key, write limit,
routes), `views` (the API calls), `store` (groups and users). `state` connects these parts; `state_file` keeps the
workspace over restarts. `settings`, `faults` and `stubs` list all that can be changed, and `dashboard` shows it.
"""

from secoda_async.emulator.faults import Fault, Faults, RecordedRequest
from secoda_async.emulator.server import Emulator
from secoda_async.emulator.state_file import StateFileError
from secoda_async.emulator.stubs import Stub, Stubs

__all__ = ["Emulator", "Fault", "Faults", "RecordedRequest", "StateFileError", "Stub", "Stubs"]
