"""Exit codes, and the two formats of an error: one line for a person, a JSON document for a program."""

import enum
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from secoda_async import (
    AmbiguousNameError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    DeadlineExceededError,
    DesiredStateError,
    InvalidArgumentError,
    LockedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    ResponseError,
    SecodaError,
    ServerError,
    StalePlanError,
    TransportError,
    UnsafePlanError,
)


class Exit(enum.IntEnum):
    """The exit codes; those from 64 to 78 have the meaning of BSD's sysexits."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    SOME_FAILED = 3
    UNSAFE = 4
    STALE = 5
    LOCKED = 7
    USAGE = 64
    BAD_INPUT = 65
    UNAVAILABLE = 69
    REFUSED = 77
    INTERRUPTED = 130
    CLOSED_PIPE = 141


class CommandError(Exception):
    """A command failed: the message says what to do, `code` is the exit code."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


_CODES: Final[tuple[tuple[type[SecodaError], Exit], ...]] = (
    (ConfigurationError, Exit.USAGE),
    (InvalidArgumentError, Exit.USAGE),
    (AmbiguousNameError, Exit.BAD_INPUT),
    (DesiredStateError, Exit.BAD_INPUT),
    (UnsafePlanError, Exit.UNSAFE),
    (StalePlanError, Exit.STALE),
    (LockedError, Exit.LOCKED),
    (AuthenticationError, Exit.REFUSED),
    (PermissionDeniedError, Exit.REFUSED),
    (TransportError, Exit.UNAVAILABLE),
    (ServerError, Exit.UNAVAILABLE),
    (RateLimitError, Exit.UNAVAILABLE),
    (DeadlineExceededError, Exit.UNAVAILABLE),
    (ResponseError, Exit.UNAVAILABLE),
    (RedirectError, Exit.UNAVAILABLE),
)


_OPTIONS: Final = {
    "no API key: pass api_key": "no API key: pass --api-key-file",
    "unknown_members='hold' (--unknown-members hold)": "--unknown-members hold",
    "apply with on_drift='skip'": "apply with --on-drift skip",
    "give base_url or region, not both": "give --base-url or --region, not both",
    "'apac', or base_url": "'apac', or --base-url",
    "check that base_url is": "check that --base-url is",
    "Check base_url (": "Check --base-url (",
    "could not be looked up: check base_url": "could not be looked up: check --base-url",
    "the host in base_url": "the host in --base-url",
    "give name, icon, description or users": "pass --name, --icon, --description, --user or --clear",
}
"""The arguments of Python in the messages of the SDK, and the options of the command line for them.

The phrases are long, so that none of them occurs in a name.
"""

_FIRST_WORDS: Final = (
    (ConfigurationError, r"^base_url(?= )"),
    (InvalidArgumentError, r"^(columns|ignore|max_delete|max_remove|only)(?= must |: )"),
)
"""The arguments of Python that begin a message."""


def with_options(text: str) -> str:
    """Return a text of the SDK with the options of the command line in place of Python's arguments."""
    for argument, option in _OPTIONS.items():
        text = text.replace(argument, option)
    return text


def message_of(error: Exception) -> str:
    """Return the message of an error, with the options of the command line in place of Python's arguments."""
    text = with_options(str(error))
    pattern = next((pattern for kind, pattern in _FIRST_WORDS if isinstance(error, kind)), None)
    return text if pattern is None else re.sub(pattern, lambda word: f"--{word[0].replace('_', '-')}", text)


def exit_for(error: Exception) -> Exit:
    """Return the exit code for an error."""
    if isinstance(error, CommandError):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.ERROR)


_ADVICE: Final[tuple[tuple[type[SecodaError], str], ...]] = (
    (AuthenticationError, "Check the key: SECODA_API_KEY, or --api-key-file (Settings > API in Secoda)."),
    (PermissionDeniedError, "A key has the permissions of its creator: use a key that an admin created."),
    (
        TransportError,
        (
            "Check the network, the host (SECODA_BASE_URL, SECODA_REGION), the proxy (--trust-env) and the trusted "
            "certificates (SSL_CERT_FILE)."
        ),
    ),
    (ServerError, "The service is down or overloaded: retry later."),
    (ResponseError, "Check the host: the response may come from Secoda's web page instead of its API."),
    (OutcomeUnknownError, "Check with `secoda-async groups list` before you retry."),
)


def advice_for(error: Exception) -> str | None:
    """Return what to do about an error, if its message does not say."""
    if isinstance(error, TransportError) and error.method is None:
        return "Check the network and the address of Redis (--redis, SECODA_REDIS_URL); nothing was written."
    return next((advice for kind, advice in _ADVICE if isinstance(error, kind)), None)


def format_error(error: Exception) -> Sequence[str]:
    """Return the error for a person, in lines: what happened, to what, and what to do.

    Only an error of several problems, each of them escaped, is split into lines. A line break in any other message
    comes from the server or a file.
    """
    has_lines = isinstance(error, DesiredStateError | UnsafePlanError)
    message = message_of(error)
    lines = message.split("\n") if has_lines else [message]
    advice = advice_for(error)
    return lines if advice is None else [*lines, f"{advice} `secoda-async doctor` checks each step of a call."]


_FIELDS: Final[tuple[tuple[type[SecodaError], tuple[str, ...]], ...]] = (
    (SecodaError, ("method", "path", "attempts", "waited")),
    (APIError, ("status", "request_id", "retry_after")),
    (BadRequestError, ("fields",)),
    (OutcomeUnknownError, ("name", "candidates")),
    (AmbiguousNameError, ("candidates",)),
    (UnsafePlanError, ("breaches", "digest")),
    (StalePlanError, ("names",)),
    (LockedError, ("holder",)),
    (DesiredStateError, ("problems",)),
)
"""The attributes of each class of error that a program gets."""


def as_document(error: Exception) -> Mapping[str, Any]:
    """Return the error for a program."""
    fields: dict[str, Any] = {
        "type": type(error).__name__,
        "message": message_of(error),
        "exit_code": int(exit_for(error)),
    }
    for kind, names in _FIELDS:
        if isinstance(error, kind):
            fields |= {name: _to_plain(getattr(error, name)) for name in names}
    return {"error": fields}


def _to_plain(value: object) -> object:
    """Return lists and dicts for the tuples and mappings of an error."""
    if isinstance(value, tuple):
        return list(cast("tuple[object, ...]", value))
    if isinstance(value, Mapping):
        return {name: list(messages) for name, messages in cast("Mapping[str, Sequence[str]]", value).items()}
    return value
