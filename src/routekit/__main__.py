"""``python -m routekit``."""

from __future__ import annotations

from routekit.cli import main

if __name__ == "__main__":
    main(prog_name="routekit")
