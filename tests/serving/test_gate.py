"""The gate: tokens, other sites, names of hosts; logs and metrics that hold nothing of the images."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from residua._base.errors import InputError
from residua.serving.settings import Limits, Settings
from serving.running import Running, running

CORS = "access-control-allow-origin"


def test_a_token(run_folder: Path, images: dict[str, Path]) -> None:
    with running({"a": {"1": run_folder}}, token="sesame") as server:
        image = images["red"].read_bytes()
        assert server.http.get("/v2/health/ready").status_code == 200, "probes need none"
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic sesame"},
            {"Authorization": ""},
        ):
            for path in ("/v2", "/about", "/metrics", "/v2/models/a"):
                response = server.http.get(path, headers=headers)
                assert response.status_code == 401
                assert response.headers["www-authenticate"] == "Bearer"
            refused = server.http.post("/predict", content=image, headers=headers)
            assert refused.json() == {"error": "a bearer token is wanted"}
        for scheme in ("Bearer", "bearer"):
            response = server.http.post("/predict", content=image, headers={"Authorization": f"{scheme} sesame"})
            assert response.status_code == 200


def test_pages_of_other_sites(server: Running, run_folder: Path) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert server.http.post("/v2/repository/models/a/unload", headers=foreign).status_code == 403
    assert CORS not in server.http.get("/v2", headers=foreign).headers
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    assert server.http.get("/v2", headers=own).status_code == 200
    with running({"a": {"1": run_folder}}, origins=("https://good.example",)) as other:
        good = {"Origin": "https://good.example"}
        preflight = other.http.options("/v2/models/a/infer", headers=good)
        assert preflight.status_code == 204
        assert preflight.headers[CORS] == "https://good.example"
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert other.http.get("/v2", headers=good).headers[CORS] == "https://good.example"
        assert other.http.get("/nowhere", headers=good).headers[CORS] == "https://good.example", "errors, too"
        assert other.http.get("/v2", headers=foreign).status_code == 403
        assert other.http.get("/v2", headers={"Host": "good.example"}).status_code == 200
        assert other.http.get("/v2", headers={"Host": "evil.example"}).status_code == 403


def test_a_name_that_another_site_points_at_us(server: Running) -> None:
    assert server.http.get("/v2", headers={"Host": "evil.example"}).status_code == 403
    assert server.http.get("/v2", headers={"Host": "localhost:1"}).status_code == 200


def test_metrics_are_bounded(server: Running, images: dict[str, Path]) -> None:
    for number in range(300):
        assert server.http.get(f"/v2/models/m{number}").status_code == 404
        assert server.http.get(f"/path{number}").status_code == 404
    server.http.post("/predict", content=images["red"].read_bytes())
    text = server.http.get("/metrics").text
    assert "m299" not in text
    assert "path299" not in text
    assert len(text) < 60_000
    for name in ("queue_seconds", "compute_seconds", "request_seconds", "batch_images"):
        assert f"residua_{name}_bucket" in text
    for line in ("residua_queue_images{", 'residua_rejects_total{reason="unknown"}', "residua_ready 1.0"):
        assert line in text


def test_logs_hold_no_image(server: Running, images: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    from residua.serving.logs import start_logs

    start_logs()
    server.http.post("/predict?top=1", content=images["red"].read_bytes(), headers={"Authorization": "Bearer secret"})
    server.http.get("/v2/models/%0a%1b[31m")
    logging.getLogger("residua.serving").handlers.clear()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    answered = next(each for each in lines if each["path"] == "/predict")
    assert (answered["status"], answered["model"], answered["images"]) == (200, "a", 1)
    assert all(set(each) <= KNOWN for each in lines)
    assert "secret" not in str(lines)


KNOWN = {
    *("time", "level", "event", "method", "path", "route", "status", "milliseconds", "model", "images", "reason"),
}


@pytest.mark.parametrize("headers", [{"Host": "["}, {"Origin": "http://["}, {"Origin": "http://[::1"}])
def test_an_address_that_is_none(server: Running, headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    response = server.http.get("/v2/health/live", headers=headers)
    assert response.status_code == 400
    assert "is no address" in response.json()["error"]
    faults = [record for record in caplog.records if record.exc_info]
    assert not faults, "the error is the client's"


@pytest.mark.parametrize("origin", ["http://[", "example.org", "https://example.org/", "ftp://a", "https://u@b", ""])
def test_origins_that_no_browser_sends(origin: str) -> None:
    with pytest.raises(InputError, match=r"Such as https://example\.org"):
        Settings(origins=(origin,))


def test_origins_that_browsers_send() -> None:
    Settings(origins=("*", "https://example.org", "http://localhost:3000", "http://[::1]:8080"))


@pytest.mark.parametrize("limits", [{"images": 0}, {"pixels": 0}, {"body_bytes": -1}])
def test_limits_that_let_nothing_in(limits: dict[str, int]) -> None:
    with pytest.raises(InputError, match="max_"):
        Limits(**limits)
