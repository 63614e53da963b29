"""The metrics: their series are those of closed lists, whatever clients send; proofs offer a million labels."""

from __future__ import annotations

from serving.running import Running


def _series(server: Running) -> int:
    lines = server.http.get("/metrics").text.splitlines()
    return sum(not line.startswith("#") for line in lines)


def test_what_clients_send_makes_no_series(server: Running) -> None:
    def offer(start: int, end: int) -> None:
        for number in range(start, end):
            server.http.get(f"/{number}", headers={"User-Agent": str(number)})
            server.http.get(f"/v2/models/{number}")
            server.http.get(f"/v2/models/a/versions/{number}/ready")
            server.http.request(f"M{number}", "/v2")

    offer(0, 2)
    _series(server)
    before = _series(server)
    offer(2, 60)
    assert _series(server) == before
