"""A Secoda workspace on 127.0.0.1, for demos and tests.

The emulator imports nothing else of the SDK, on purpose: a shared parser would share its mistakes.

Read in this order: `server` (start, stop), `handler` (one HTTP request and its fault), `application` (key, write limit,
routes), `views` (the API calls), `store` (groups and users). `settings` and `faults` list all that can be changed.
"""

from secoda_async.emulator.faults import Fault, Faults, RecordedRequest
from secoda_async.emulator.server import Emulator
from secoda_async.emulator.state_file import StateFileError
from secoda_async.emulator.stubs import Stub, Stubs

__all__ = ["Emulator", "Fault", "Faults", "RecordedRequest", "StateFileError", "Stub", "Stubs"]
