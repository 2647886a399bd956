"""The end of an incomplete apply: failures by cause, what is certain, what is unknown, and the next step."""

import pytest

from secoda_async import (
    AuthenticationError,
    BadRequestError,
    Change,
    Conflict,
    CreateGroup,
    Outcome,
    OutcomeUnknownError,
    Plan,
    Report,
    SecodaError,
    ServerError,
    StalePlanError,
    TransportError,
)
from secoda_async.cli.output.endings import Ending, causes_of, ending_of
from secoda_async.operations import Status
from secoda_async.reconcile.journal import INCOMPLETE

REFUSED = TransportError("could not connect to 127.0.0.1:80: connection refused", method="GET", path="/group")


def plan_of(number: int) -> Plan:
    return Plan(changes=tuple(Change(kind="create", name=f"g{index}") for index in range(number)))


def report_of(*results: Status | SecodaError, verified: bool = False, stopped: str = "") -> Report:
    outcomes = list[Outcome]()
    for index, result in enumerate(results):
        error = result if isinstance(result, SecodaError) else None
        status: Status = result if not isinstance(result, SecodaError) else "failed"
        if isinstance(error, OutcomeUnknownError):
            status = "unknown"
        outcomes.append(Outcome(operation=CreateGroup(), index=index, status=status, error=error))
    return Report(outcomes=tuple(outcomes), verified=verified, stopped=stopped)


def unknown(index: int, cause: SecodaError | None) -> OutcomeUnknownError:
    error = OutcomeUnknownError(f"whether the group 'g{index}' was created is not known")
    error.__cause__ = cause
    return error


def ending(plan: Plan, report: Report, *, stopped: str | None = None, is_saved: bool = False) -> Ending:
    return ending_of(plan, report, stopped=stopped, command="secoda-async apply g.yaml", is_saved=is_saved)


def test_failures_of_one_cause_are_one_line_with_three_names() -> None:
    report = report_of(*[REFUSED] * 5, BadRequestError("400 name: no", status=400), "not_attempted", stopped="deadline")
    causes = causes_of(plan_of(7), report, "deadline reached")
    assert [cause.text(is_verbose=False) for cause in causes] == [
        "failed: 5 changes (g0, g1, g2 and 2 more): could not connect to 127.0.0.1:80: connection refused",
        "failed: g5: 400 name: no",
        "not attempted: g6",
    ]
    assert causes[-1].message == "deadline reached"
    assert causes[0].text(is_verbose=True).startswith("failed: 5 changes (g0, g1, g2, g3, g4): ")


def test_failures_that_differ_in_names_and_seconds_have_one_cause() -> None:
    errors = [
        StalePlanError("'g0' has changed since the plan was made"),
        StalePlanError("'g1' has changed since the plan was made"),
        ServerError("503 retry in 3.5 s", status=503),
        ServerError("503 retry in 12 s", status=503),
        ServerError("500 retry in 12 s", status=500),
    ]
    assert [cause.text(is_verbose=False) for cause in causes_of(plan_of(5), report_of(*errors), "")] == [
        "failed: 2 changes (g0, g1): the group has changed since the plan was made",
        "failed: 2 changes (g2, g3): 503 retry in 3.5 s",
        "failed: g4: 500 retry in 12 s",
    ]


@pytest.mark.requirement("BS-5")
def test_unknown_outcomes_are_never_called_failed() -> None:
    broken = TransportError("the server closed the connection without a response", method="POST", path="/group")
    report = report_of("applied", unknown(1, broken), unknown(2, broken), unknown(3, None), REFUSED)
    plan = plan_of(5)
    assert [(cause.status, len(cause.names), cause.message) for cause in causes_of(plan, report, "")] == [
        ("unknown", 2, "the server closed the connection without a response"),
        ("unknown", 1, "whether the group 'g3' was created is not known"),
        ("failed", 1, "could not connect to 127.0.0.1:80: connection refused [GET /group, 0 attempts]"),
    ]
    end = ending(plan, report)
    assert end.certain == (
        "1 change is written: the service confirmed it, but no last read has shown it; 1 change is not written."
    )
    assert end.unknown == "3 changes may or may not be written: g1, g2, g3."
    assert end.command == "secoda-async apply g.yaml"
    assert end.advice.startswith("Check the network")
    assert end.advice.endswith("Run this again: it reads the workspace first, and writes only what is left.")


def test_ending_of_a_complete_apply_is_empty() -> None:
    end = ending(plan_of(1), report_of("applied", verified=True))
    assert end == Ending()
    assert end.parts() == []


def test_ending_says_why_changes_were_not_attempted() -> None:
    report = report_of("applied", "unchanged", "not_attempted", verified=True, stopped="stopped")
    end = ending(plan_of(3), report, stopped="deadline reached")
    assert end.parts()[:2] == [
        ("Stopped early", "deadline reached"),
        (
            "Certain",
            (
                "1 change is written, and a last read shows it; 1 change is not needed any more; "
                "1 change is not written."
            ),
        ),
    ]
    assert [label for label, _ in end.parts()] == ["Stopped early", "Certain", "Next"]


def test_advice_names_the_key_first_and_each_kind_once() -> None:
    refused = AuthenticationError("401", status=401, method="POST", path="/group")
    report = report_of(BadRequestError("400 no"), REFUSED, REFUSED, refused, stopped="the key was refused")
    advice = ending(plan_of(4), report).advice
    assert advice.startswith("Check the key: SECODA_API_KEY, or --api-key-file")
    assert advice.count("Check the network") == advice.count("Correct what the service refused.") == 1


def test_ending_of_conflicts_alone_names_them() -> None:
    plan = Plan(changes=(), conflicts=(Conflict(name="Sales", message="2 groups have the name 'Sales'"),))
    end = ending(plan, Report(outcomes=(), verified=True, conflicts=1))
    assert end.certain == "nothing was written."
    assert end.advice.startswith("Resolve the groups in conflict")


def test_saved_plan_that_is_out_of_date_has_no_command() -> None:
    report = report_of(StalePlanError("'g0' has changed since the plan was made"))
    end = ending(plan_of(1), report, is_saved=True)
    assert (end.command, "make a new one with `secoda-async plan`" in end.advice) == ("", True)
    assert ending(plan_of(1), report).command


@pytest.mark.requirement("BS-5")
def test_unknown_creates_alone_are_neither_written_nor_not_written() -> None:
    end = ending(plan_of(2), report_of(unknown(0, REFUSED), unknown(1, REFUSED)))
    assert end.certain == ""
    assert "Wait a few minutes first" in end.advice
    changes = tuple(Change(kind="update", name=f"g{index}", id="x") for index in range(2))
    assert "Wait" not in ending(Plan(changes=changes), report_of(unknown(0, REFUSED), "applied")).advice


def test_incomplete_journal_needs_room() -> None:
    outcomes = report_of(
        SecodaError("the journal can't be written, so the change was not sent: No space left on device")
    )
    report = Report(outcomes=outcomes.outcomes, verified=False, differences=(f"{INCOMPLETE}: No space left on device",))
    assert ending(plan_of(1), report).advice.startswith("Make room for the journal (--log), or name another file.")
