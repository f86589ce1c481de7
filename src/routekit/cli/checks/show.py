"""How findings are shown."""

from __future__ import annotations

from collections.abc import Sequence

from routekit.cli.checks.finding import Finding, worst
from routekit.cli.output import one_line, print_json, say


def show(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Prints findings; the exit code: 1 where one of them is an error."""
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if as_json:
        print_json(
            {
                "level": worst(findings),
                "errors": errors,
                "warnings": warnings,
                "findings": [finding.to_dict() for finding in findings],
            }
        )
        return 1 if errors else 0
    for finding in findings:
        say(f"{finding.level:<8} {finding.subject}: {one_line(finding.problem)}")
        if finding.fix:
            say(f"{'':<8} -> {one_line(finding.fix)}")
    say()
    say(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")
    return 1 if errors else 0


def counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
