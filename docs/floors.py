"""Draws the floors of the package, from its imports, between the marks in CONTRIBUTING.md.

``python docs/floors.py`` writes; with ``--check`` it only says whether the picture is still true.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- floors -->", "<!-- /floors -->"


def imported(node: ast.AST) -> Iterator[str]:
    """The modules, and names within modules, that a piece of code imports when it runs."""
    if isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
        for child in ast.iter_child_nodes(node):
            yield from imported(child)


def imports_of(file: Path, package: Path) -> set[str]:
    """The rooms of `package` that a file imports, those inside of functions included."""
    dotted = ".".join(package.relative_to(ROOT / "src").parts) + "."
    names = imported(ast.parse(file.read_text()))
    return {name.removeprefix(dotted).partition(".")[0] for name in names if name.startswith(dotted)}


def rooms_of(package: Path) -> dict[str, set[str]]:
    """Each room (a file or a folder) of a package, with the rooms of the same package that it imports."""
    rooms: dict[str, set[str]] = {}
    for entry in sorted(package.iterdir()):
        if entry.suffix == ".py" and not entry.stem.startswith("_"):
            rooms[entry.stem] = imports_of(entry, package)
        elif (entry / "__init__.py").exists():
            files = entry.rglob("*.py")
            rooms[entry.name] = set().union(*(imports_of(file, package) for file in files))
    return {room: {other for other in others if other in rooms and other != room} for room, others in rooms.items()}


def floors_of(rooms: dict[str, set[str]]) -> list[list[str]]:
    """The rooms from top to bottom: each floor imports only from those below it.

    Raises:
        ValueError: there is a circle.
    """
    floors: list[list[str]] = []
    left = dict(rooms)
    while left:
        floor = sorted(room for room, others in left.items() if not others & left.keys())
        if not floor:
            raise ValueError(f"a circle among {', '.join(sorted(left))}")
        floors.append(floor)
        for room in floor:
            del left[room]
    return floors[::-1]


def drawn() -> str:
    """Both pictures, as one block of text."""
    lines = []
    for title, package in (("routekit", ROOT / "src/routekit"), ("routekit.engine", ROOT / "src/routekit/engine")):
        lines.append(title)
        lines += [f"  {'  '.join(floor)}" for floor in floors_of(rooms_of(package))]
        lines.append("")
    return "\n".join(["```text", *lines[:-1], "```"])


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{drawn()}\n{END}{after}"
    if "--check" in sys.argv:
        return 0 if wanted == page else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
