"""Validators for the settings and faults."""

import contextlib
import ipaddress
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import attrs

    _Attribute = attrs.Attribute[Any]


def positive(_instance: object, attribute: "_Attribute", value: float) -> None:
    """Require a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{attribute.name} must be finite and above 0, not {value}")


def not_negative(_instance: object, attribute: "_Attribute", value: float) -> None:
    """Require a finite number that is not below 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{attribute.name} must be finite and not below 0, not {value}")


def at_least(lowest: int) -> "Callable[[object, _Attribute, int], None]":
    """Return a validator that requires a number that is not below this one."""

    def validate(_instance: object, attribute: "_Attribute", value: int) -> None:
        if value < lowest:
            raise ValueError(f"{attribute.name} must be at least {lowest}, not {value}")

    return validate


def finite(_instance: object, attribute: "_Attribute", value: float) -> None:
    """Require a finite number."""
    if not math.isfinite(value):
        raise ValueError(f"{attribute.name} must be finite, not {value}")


def between(lowest: float, highest: float) -> "Callable[[object, _Attribute, float], None]":
    """Return a validator that requires a number in this range."""

    def validate(_instance: object, attribute: "_Attribute", value: float) -> None:
        if not lowest <= value <= highest:
            raise ValueError(f"{attribute.name} must be from {lowest} to {highest}, not {value}")

    return validate


def one_of(*choices: str) -> "Callable[[object, _Attribute, object], None]":
    """Return a validator that requires one of these strings."""

    def validate(_instance: object, attribute: "_Attribute", value: object) -> None:
        if value not in choices:
            listed = ", ".join(f'"{choice}"' for choice in choices)
            raise ValueError(f"{attribute.name} must be one of {listed}, not {value!r}")

    return validate


def optional(validator: "Callable[[object, _Attribute, Any], None]") -> "Callable[[object, _Attribute, Any], None]":
    """Return a validator that also accepts None."""

    def validate(instance: object, attribute: "_Attribute", value: object) -> None:
        if value is not None:
            validator(instance, attribute, value)

    return validate


def is_address(host: str) -> bool:
    """Return whether a host is an IP address, which no other web site can have as its name."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, so that no other machine can reach it."""
    with contextlib.suppress(ValueError):
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return False
