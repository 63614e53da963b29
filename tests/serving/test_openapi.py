"""The description is that of the code: the same addresses, and answers of its schemas."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from residua.serving.app import ROUTES
from residua.serving.openapi import description
from residua.serving.settings import Settings
from serving.running import Running, image_input

TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def check(value: Any, schema: dict[str, Any], document: dict[str, Any], where: str = "") -> None:
    """Hold a value against the part of JSON Schema that the description uses."""
    known = {"$ref", "type", "enum", "properties", "required", "items", "additionalProperties", "minimum", "maximum"}
    assert schema.keys() <= known | {"format", "default"}, f"{where}: this test does not know {schema.keys() - known}"
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        check(value, document["components"]["schemas"][name], document, where)
        return
    if "enum" in schema:
        assert value in schema["enum"], where
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(isinstance(value, TYPES[kind]) for kind in kinds), f"{where}: {value!r} is no {kinds}"
    assert schema.get("minimum", value) <= value if "minimum" in schema else True, where
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= value.keys(), f"{where}: {value.keys()}"
        for name, own in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if inner is not None:
                check(own, inner, document, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for each in value:
            check(each, schema["items"], document, f"{where}[]")


def test_it_has_the_addresses_of_the_code(server: Running) -> None:
    document = server.http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(method, path) for method, path, _ in ROUTES}
    used = str(document["paths"])
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}'" in used, f"nothing refers to {name}"


def test_a_token_is_described() -> None:
    assert "security" not in description(Settings())
    assert description(Settings(token="x"))["security"] == [{"token": []}]


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in ROUTES])
def test_answers_are_of_their_schemas(server: Running, images: dict[str, Path], method: str, path: str) -> None:
    document = server.http.get("/openapi.json").json()
    responses = document["paths"][path][method.lower()]["responses"]
    image = base64.b64encode(images["red"].read_bytes()).decode()
    bodies: dict[str, dict[str, Any]] = {"infer": {"json": image_input(image)}, "predict": {"content": b"x"}}
    options = bodies.get(path.rpartition("/")[2], {})
    if path == "/predict":
        options = {"content": images["red"].read_bytes(), "params": {"explain": "1"}}
    # Whatever changes the server's models is tried on one that it does not have.
    model = "none" if "load" in path else "a"
    for name, version in ((model, "1"), ("none", "1"), (model, "99")):
        response = server.http.request(method, path.format(model=name, version=version), **options)
        assert str(response.status_code) in responses, response.text
        kinds = responses[str(response.status_code)]["content"]
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in kinds
        if kind == "application/json":
            check(response.json(), kinds[kind]["schema"], document, path)


def test_requests_of_the_description_are_understood(server: Running, images: dict[str, Path]) -> None:
    document = server.http.get("/openapi.json").json()
    image = base64.b64encode(images["red"].read_bytes()).decode()
    check(image_input(image), {"$ref": "#/components/schemas/InferRequest"}, document)
