"""The page in headless Chromium: choose, paste, explain; wide and narrow, light and dark; nothing from outside."""

from __future__ import annotations

import base64
import csv
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chromium import Tab, chromium, chromium_path
from residua.inference.predict import predict
from serving.running import Running, running

CONTRAST = """(() => {
  const shade = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map((each) => each / 255)
      .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const low = [];
  for (const element of document.querySelectorAll("h1, h2, h3, p, label, button, span, b, small, li")) {
    if (!element.checkVisibility() || !element.textContent.trim()) continue;
    const [a, b] = [shade(getComputedStyle(element).color), shade(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return low;
})()"""
NAMELESS = """[...document.querySelectorAll("input, select, button, img:not([hidden])")]
  .filter((each) => each.checkVisibility() && !(each.labels?.length || each.textContent.trim() || each.alt))
  .map((each) => each.outerHTML.slice(0, 80))"""


def test_its_files_state_a_policy_and_name_nothing_outside(server: Running) -> None:
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        response = server.http.get(path)
        assert response.headers["content-type"].startswith(kind)
        assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "http://" not in response.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in response.text
    page = server.http.get("/").text
    assert " style=" not in page
    assert "onclick" not in page
    assert '<html lang="en">' in page


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    chromium_path()
    with chromium(tmp_path / "profile") as opened:
        yield opened


def _answers(tab: Tab) -> list[str]:
    return tab.run("[...document.querySelectorAll('.verdict')].map((each) => each.textContent)")


@pytest.mark.parametrize("width", [390, 1280])
def test_images_are_classified(
    server: Running, run_folder: Path, images: dict[str, Path], tab: Tab, tmp_path: Path, width: int
) -> None:
    tab.open(f"http://127.0.0.1:{server.port}/", width)
    tab.wait("document.querySelector('#about b')")
    about = tab.run("document.querySelector('#about').textContent")
    assert "97.5% of 40 held-out images" in about
    assert "Below 70.0%" in about
    names = ["red", "green", "blue", "noise"]
    tab.choose("#files", *(images[name] for name in names))
    tab.wait("document.querySelector('#status').textContent.startsWith('4 of 4')")
    wanted = predict(run_folder, [images[name] for name in names], top=1)
    for text, prediction in zip(_answers(tab), wanted, strict=True):
        assert prediction.labels[0] in text
        assert text.startswith("Unknown.") == (prediction.probabilities[0] < 0.7)
    assert tab.run("document.querySelectorAll('.ranks li').length") == 12
    assert tab.run("parseFloat(document.querySelector('.part').style.width)") == pytest.approx(78.7, abs=0.1)
    # The verdict states the best label, and the list below only its bar.
    assert tab.run("document.querySelector('.ranks li').innerText.trim()") == ""
    edges = tab.run("['#drop', '.ranks'].map((each) => document.querySelector(each).getBoundingClientRect().right)")
    assert edges[0] == edges[1]
    if width < 600:
        assert tab.run("document.querySelector('.picture').getBoundingClientRect().right") == edges[0]
    # The keyboard alone reaches and presses the button.
    tab.run("document.querySelector('.evidence button').focus()")
    tab.press("Enter", 13)
    tab.wait("document.querySelector('.map').src.startsWith('data:image/png')")
    tab.wait("document.querySelector('.map').naturalWidth === 448")
    slider = "document.querySelector('.strength input')"
    tab.wait(f"document.activeElement === {slider}")
    tab.run(f"{slider}.value = 30; {slider}.dispatchEvent(new Event('input'))")
    assert tab.run("document.querySelector('.map').style.opacity") == "0.3"
    for dark in (False, True):
        tab.dark(dark)
        assert tab.run(CONTRAST) == []
    assert tab.run(NAMELESS) == []
    assert tab.run("document.documentElement.scrollWidth") <= width, "nothing is wider than the window"
    assert (
        tab.run(
            "Math.min(...[...document.querySelectorAll('button, .button')].filter((each) => "
            "each.checkVisibility()).map((each) => each.offsetHeight))"
        )
        >= 44
    )
    tab.picture(tmp_path / "page.png")
    assert tab.messages == []
    own = (f"http://127.0.0.1:{server.port}/", "data:", "blob:")
    assert [url for url in tab.requests if not url.startswith(own)] == []


def test_paste_drop_and_what_is_no_image(server: Running, images: dict[str, Path], tab: Tab, tmp_path: Path) -> None:
    tab.open(f"http://127.0.0.1:{server.port}/")
    tab.wait("document.querySelector('#about b')")
    content = base64.b64encode(images["blue"].read_bytes()).decode()
    make = f"""const bytes = Uint8Array.from(atob("{content}"), (each) => each.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "blue.png", {{ type: "image/png" }}));"""
    done = "document.querySelector('#status').textContent.startsWith('1 of 1')"
    tab.run(f"{{ {make} document.dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: transfer }})); }}")
    tab.wait(done)
    assert _answers(tab)[0].startswith("blue")
    tab.run(f"{{ {make} document.dispatchEvent(new DragEvent('drop', {{ dataTransfer: transfer }})); }}")
    tab.wait(done)
    text = tmp_path / "<b>letter.png"
    text.write_text("Dear Sir")
    tab.choose("#files", text)
    tab.wait("document.querySelector('.verdict.wrong')")
    assert "not an image" in _answers(tab)[0]
    assert tab.run("document.querySelector('h3').textContent") == "<b>letter.png"
    assert 'begins with "Dear Sir"' in _answers(tab)[0]
    status = "document.querySelector('#status').textContent"
    assert tab.run(status) == "1 of 1 image done, 1 without an answer."
    other = tmp_path / "notes.txt"
    other.write_text("Dear Sir")
    tab.choose("#files", images["red"], other)
    tab.wait(f"{status}.includes('done')")
    assert tab.run(status) == "1 of 1 image done. 1 file was left out, which is no image: notes.txt."
    tab.choose("#files", other)
    tab.wait("document.querySelector('#status.wrong')")
    assert "notes.txt" in tab.run(status)


def test_fifty_images_and_a_token(run_folder: Path, images: dict[str, Path], tab: Tab, tmp_path: Path) -> None:
    files = []
    for number in range(52):
        files.append(tmp_path / f"{number}.png")
        files[-1].write_bytes(images["red"].read_bytes())
    with running({"a": {"1": run_folder}, "b": {"2": run_folder}}, token="sesame") as server:
        tab.open(f"http://127.0.0.1:{server.port}/", 390)
        tab.wait("!document.querySelector('#access').hidden")
        tab.run("document.querySelector('#token').value = 'wrong'")
        tab.run("document.querySelector('#access').requestSubmit()")
        tab.wait("document.querySelector('#status').textContent.startsWith('The server does not take this token')")
        tab.run("document.querySelector('#token').value = 'sesame'")
        tab.run("document.querySelector('#access').requestSubmit()")
        tab.wait("document.querySelectorAll('#model option').length === 2")
        tab.choose("#files", *files)
        tab.wait("document.querySelector('#status').textContent.startsWith('50 of 50')")
        assert "2 files were left out" in tab.run("document.querySelector('#status').textContent")
        assert "50.png, 51.png" in tab.run("document.querySelector('#status').textContent")
        assert [text[:3] for text in _answers(tab)] == ["red"] * 50
        # Lines of an overview, each of which opens by keyboard.
        assert tab.run("document.documentElement.scrollHeight") < 5000
        assert tab.run("document.documentElement.scrollWidth") <= 390
        ranks, more = "document.querySelectorAll('.ranks')[1]", "document.querySelectorAll('.more')[1]"
        assert not tab.run(f"{ranks}.checkVisibility()")
        assert tab.run(f"{more}.getAttribute('aria-label')") == "Details of 1.png"
        tab.run(f"{more}.focus()")
        tab.press("Enter", 13)
        assert tab.run(f"{ranks}.checkVisibility()")
        assert tab.run(f"{more}.getAttribute('aria-expanded')") == "true"
        _check_saved(tab, tmp_path)


def _check_saved(tab: Tab, folder: Path) -> None:
    """Press the button, and hold the file against the page."""
    tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    tab.wait("document.querySelector('#save').checkVisibility()")
    tab.run("document.querySelector('#save').click()")
    path, until = folder / "answers.csv", time.monotonic() + 20
    while not path.is_file() and time.monotonic() < until:
        time.sleep(0.05)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [f"{number}.png" for number in range(50)]
    assert {(row["label"], row["label2"] != "red", row["unknown"], row["error"]) for row in rows} == {
        ("red", True, "false", "")
    }
    assert float(rows[0]["probability"]) == pytest.approx(0.787, abs=1e-3)
    cells = tab.run("""(() => { saved = [['a,"b".png', { error: "no\\nimage" }]]; return csv(); })()""")
    assert cells == 'path,label,probability,unknown,error\n"a,""b"".png",,,,"no\nimage"\n'


def test_a_busy_server_is_not_asked_for_ever(server: Running, images: dict[str, Path], tab: Tab) -> None:
    tab.open(f"http://127.0.0.1:{server.port}/")
    tab.wait("document.querySelector('#about b')")
    tab.run(
        """{ window.asked = 0; window.setTimeout = (resume) => queueMicrotask(resume); window.fetch = async () => {
        window.asked += 1;
        return new Response('{"error": "the queue is full"}', { status: 503, headers: { "Retry-After": "1" } }); } }"""
    )
    tab.choose("#files", images["red"])
    tab.wait("document.querySelector('.verdict.wrong')")
    assert _answers(tab) == ["the queue is full"]
    assert tab.run("window.asked") == 6
