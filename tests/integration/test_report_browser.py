"""The report in a real browser: it draws, sorts, filters and opens, loads nothing, and runs nobody's script."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.support.browser import Browser
from tests.support.sample_records import sample

from routekit.report import written

pytestmark = pytest.mark.needs_browser
HOSTILE = "</td><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
OVERFLOWING = """[...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll") && !e.closest("svg")
  && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""
FIRST_CELLS = """[...document.querySelectorAll("#by-{0} tbody tr")].filter((r) => !r.hidden)
  .map((r) => r.cells[{1}].textContent)"""


async def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    records = list(sample(400))
    records[-1] = dataclasses.replace(
        records[-1], strategy=HOSTILE, scopes={"tag": (HOSTILE,)}, decision={"reason": HOSTILE, "notes": [HOSTILE]}
    )
    written(records, tmp_path / "report.html", decisions=100)
    async with Browser() as browser:
        await browser.open(tmp_path / "report.html")
        assert await browser.evaluate("document.title") == "routekit report"
        assert await browser.evaluate("document.querySelectorAll('svg rect').length") > 50

        click = "document.querySelectorAll('#by-deployment thead button')[{0}].click()"
        names = FIRST_CELLS.format("deployment", 0)
        await browser.evaluate(click.format(0))
        rising = await browser.evaluate(names)
        assert rising == sorted(rising)
        await browser.evaluate(click.format(0))
        assert await browser.evaluate(names) == rising[::-1]
        await browser.evaluate(click.format(1))
        calls = [int(text.replace(",", "")) for text in await browser.evaluate(FIRST_CELLS.format("deployment", 1))]
        assert calls == sorted(calls, reverse=True)

        await browser.evaluate(
            "const box = document.querySelector('input[data-for=by-user]'); box.value = 'user-1';"
            "box.dispatchEvent(new Event('input'))"
        )
        shown = await browser.evaluate(FIRST_CELLS.format("user", 0))
        assert shown
        assert all("user-1" in name for name in shown)
        assert await browser.evaluate("document.getElementById('by-user-count').textContent") == str(len(shown))

        why = "document.querySelector('#decisions tr.decision + tr.why')"
        assert await browser.evaluate(f"{why}.hidden") is True
        await browser.evaluate("document.querySelector('#decisions tr.decision').click()")
        assert await browser.evaluate(f"{why}.hidden") is False
        assert "onerror" in await browser.evaluate(f"{why}.textContent"), "what came from outside is shown as text"
        await browser.evaluate("document.querySelectorAll('#decisions thead button')[3].click()")
        assert await browser.evaluate("document.querySelectorAll('#decisions tr.decision + tr.why').length") == 100

        for width, dark in ((1280, False), (390, True)):
            await browser.screenshot(tmp_path / f"{width}.png", width, 900, dark=dark)
            assert (tmp_path / f"{width}.png").stat().st_size > 10_000
            assert await browser.evaluate(OVERFLOWING) == []
            assert await browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert await browser.evaluate("window.hacked === undefined")
        assert browser.problems == []
        assert [url for url in browser.requests if not url.startswith("file:")] == []
        assert len(browser.requests) == 1, "it loads nothing but itself"


async def test_an_empty_page_says_what_to_do(tmp_path: Path) -> None:
    written([], tmp_path / "report.html")
    async with Browser() as browser:
        await browser.open(tmp_path / "report.html")
        assert "ROUTEKIT_HOME" in await browser.evaluate("document.body.innerText")
        assert browser.problems == []
