"""axe-core over the page: with an image, its answer and its evidence; wide and narrow, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chromium import Tab, chromium, chromium_path
from serving.running import Running

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, run in the page; its policy would let no other script in."""
    path = Path(os.environ.get("AXE_CORE") or ROOT / "node_modules" / "axe-core" / "axe.min.js")
    if not path.is_file():
        pytest.skip("no axe-core: npm install axe-core, or set $AXE_CORE to its axe.min.js")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    chromium_path()
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(
    axe: str, server: Running, images: dict[str, Path], tab: Tab, tmp_path: Path, width: int
) -> None:
    findings = """axe.run(document, {resultTypes: ["violations"]}).then((result) => result.violations.map(
        (each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 100)).join(" | ")}`))"""
    tab.open(f"http://127.0.0.1:{server.port}/", width)
    tab.wait("document.querySelector('#about b')")
    tab.run(axe)
    assert tab.run(findings) == [], "before an image is chosen"
    tab.choose("#files", images["red"], images["noise"])
    tab.wait("document.querySelector('#status').textContent.startsWith('2 of 2')")
    tab.run("document.querySelector('.evidence button').focus()")
    tab.press("Enter", 13)
    tab.wait("document.querySelector('.map').naturalWidth === 448")
    for dark in (False, True):
        tab.dark(dark)
        assert tab.run(findings) == [], f"dark: {dark}"
        if folder := os.environ.get("PICTURES"):
            tab.picture(Path(folder, f"page-{width}-{'dark' if dark else 'light'}.png"))
    tab.dark(False)
    tab.choose("#files", *[*images.values()] * 2)
    tab.wait("document.querySelector('#status').textContent.startsWith('8 of 8')")
    tab.run("document.querySelector('.more').click()")
    assert tab.run(findings) == [], "many images"
