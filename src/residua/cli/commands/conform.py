"""`residua conform`: one call of `conform`, printed as a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from residua.cli.show import Switch, check_target, note, print_json, say
from residua.cli.tables import print_table


def conform(
    url: str,
    /,
    *,
    model: str | None = None,
    request: Path | None = None,
    token_file: Path | None = None,
    timeout: float = 10.0,
    junit: Path | None = None,
    verbose: Switch = False,
    json: Switch = False,
) -> int:
    """Hold a server against the Open Inference Protocol over HTTP, point by point.

    Any server: ours, Triton, KServe, MLServer. "must" is what the protocol or an extension that the server states
    demands; "should" is where servers disagree. Exit code 1: a "must" failed. It changes no model of the server.

    Parameters
    ----------
    url
        The server's address, without /v2.
    model
        The model to use; left out: the first that the server lists.
    request
        A JSON file with an inference request that the model answers; left out: one is made of its metadata.
    token_file
        A file that holds a bearer token.
    timeout
        Seconds for each request.
    junit
        An XML file to write, as continuous integration reads them.
    verbose
        Show request and answer of every row, not only of those that failed.
    json
        Print one JSON document: url, model, passed, and the rows.
    """
    from residua.cli.commands.serve import token_in
    from residua.serving.conform.conform import conform as conform_server
    from residua.serving.conform.report import write_junit

    check_target(junit, ".xml")
    result = conform_server(url, model=model, request=request, token=token_in(token_file), timeout=timeout)
    if junit is not None:
        write_junit(result, junit)
        note(f"Wrote {junit}")
    if json:
        head = {"url": result.url, "model": result.model, "passed": result.passed}
        print_json(head | {"rows": [asdict(row) for row in result.rows]})
        return 0 if result.passed else 1
    print_table(
        ("verdict", "level", "requirement", "source"),
        [(row.verdict, row.level, row.requirement, row.source) for row in result.rows],
    )
    for row in result.rows:
        if row.verdict != "pass" or verbose:
            say(f"\n{row.verdict}: {row.requirement}")
            for label, text in (("reason", row.reason), ("request", row.request), ("answer", row.answer)):
                if text:
                    say(f"  {label}: {text}")
    counts = ", ".join(f"{result.count(verdict)} {verdict}" for verdict in ("pass", "fail", "skip"))
    say(f"\n{result.url}, model {result.model}: {counts}. {'Conforms.' if result.passed else 'Does not conform.'}")
    return 0 if result.passed else 1
