"""The OpenAPI description of every endpoint; a test holds it against the routes and against real answers."""

from __future__ import annotations

from typing import Any

from residua._version import __version__
from residua.serving.settings import Settings
from residua.serving.wire.tensors import DATATYPES

_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT, _WHOLE, _TRUTH = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
_PARAMETERS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_SHAPE = _list({"type": "integer"})
_TENSOR = _object("name datatype shape", name=_TEXT, datatype={"enum": list(DATATYPES)}, shape=_SHAPE)
_DURATION = _object("count ns", count=_WHOLE, ns=_WHOLE)
_SCHEMAS: dict[str, Any] = {
    "Error": _object("error", error=_TEXT),
    "Health": _object("live ready", live=_TRUTH, ready=_TRUTH),
    "Server": _object("name version extensions", name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "Model": _object(
        "name versions platform inputs outputs",
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(_TENSOR),
        outputs=_list(_TENSOR),
    ),
    "ModelReady": _object("name ready", name=_TEXT, ready=_TRUTH),
    "Config": _object("name platform max_batch_size input output", name=_TEXT, platform=_TEXT, max_batch_size=_WHOLE),
    "Statistics": _object(
        "model_stats",
        model_stats=_list(
            _object(
                "name version inference_count execution_count inference_stats batch_stats",
                name=_TEXT,
                version=_TEXT,
                inference_count=_WHOLE,
                execution_count=_WHOLE,
                inference_stats={"type": "object", "additionalProperties": _DURATION},
                batch_stats=_list(_object("batch_size compute_infer", batch_size=_WHOLE, compute_infer=_DURATION)),
            )
        ),
    ),
    "InferRequest": _object(
        "inputs",
        id=_TEXT,
        parameters=_PARAMETERS,
        inputs=_list(
            _object(
                "name datatype shape",
                name={"enum": ["image", "tensor"]},
                datatype={"enum": list(DATATYPES)},
                shape=_SHAPE,
                parameters=_PARAMETERS,
                data={"type": "array"},
            )
        ),
        outputs=_list(_object("name", name={"enum": ["logits", "probabilities"]}, parameters=_PARAMETERS)),
    ),
    "InferResponse": _object(
        "model_name outputs",
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        outputs=_list(
            _object(
                "name datatype shape",
                name=_TEXT,
                datatype={"enum": ["FP32", "BYTES"]},
                shape=_SHAPE,
                parameters=_PARAMETERS,
                data={"type": "array"},
            )
        ),
    ),
    "IndexRequest": _object("", ready=_TRUTH),
    "ChangeRequest": _object("", parameters=_PARAMETERS),
    "Index": _list(_object("name state reason", name=_TEXT, version=_TEXT, state=_TEXT, reason=_TEXT)),
    "Done": {"type": "object"},
    "Prediction": _object(
        "model version images milliseconds",
        model=_TEXT,
        version=_TEXT,
        milliseconds={"type": "number"},
        images=_list(
            _object(
                "name",
                name=_TEXT,
                error=_TEXT,
                labels=_list(_TEXT),
                probabilities=_list(_SHARE),
                unknown={"type": ["boolean", "null"]},
                threshold={"type": ["number", "null"]},
                # Where an image may have several labels: `labels` are those that reach their thresholds.
                all_probabilities={"type": "object", "additionalProperties": _SHARE},
                image={"type": ["string", "null"]},
                overlay={"type": ["string", "null"]},
                method={"type": ["string", "null"]},
                evidence={"type": ["number", "null"]},
                note={"type": ["string", "null"]},
            )
        ),
    ),
    "About": _object("server models limits", server={"type": "object"}, models=_list(_object("name version"))),
}

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_OPERATIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("GET", "/v2"): ("Server", "The server's metadata"),
    ("GET", "/v2/"): ("Server", "The server's metadata"),
    ("GET", "/v2/health/live"): ("Health", "Whether the process answers"),
    ("GET", "/v2/health/ready"): ("Health", "Whether everything that is served can answer now"),
    ("GET", "/v2/models/stats"): ("Statistics", "Statistics of all models"),
    ("POST", "/v2/repository/index"): ("Index", "What is served, and what the repository holds besides"),
    ("POST", "/v2/repository/models/{model}/load"): ("Done", "Open a model of the repository, or open it again"),
    ("POST", "/v2/repository/models/{model}/unload"): ("Done", "Stop serving a model"),
    ("POST", "/predict"): ("Prediction", "Classify an image, or a form of images"),
    ("GET", "/about"): ("About", "What people want to know of each model"),
    ("GET", "/metrics"): ("", "Metrics for Prometheus"),
    ("GET", "/openapi.json"): ("Done", "This description"),
    ("GET", "/"): ("", "The page"),
    ("GET", "/page.css"): ("", "Its style sheet"),
    ("GET", "/page.js"): ("", "Its script"),
}
for _base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
    _OPERATIONS |= {
        ("GET", _base): ("Model", "A model's metadata"),
        ("GET", f"{_base}/ready"): ("ModelReady", "Whether a model can answer"),
        ("GET", f"{_base}/config"): ("Config", "A model's configuration"),
        ("GET", f"{_base}/stats"): ("Statistics", "A model's statistics"),
        ("POST", f"{_base}/infer"): ("InferResponse", "Inference"),
    }
_REQUESTS = {"infer": "InferRequest", "index": "IndexRequest", "load": "ChangeRequest", "unload": "ChangeRequest"}
_TYPES = {"/metrics": "text/plain", "/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}
STATUSES: dict[int, str] = {
    400: "The request is wrong; the error names the fault",
    401: "A bearer token is wanted",
    403: "A page of another site, or another host's name",
    404: "No such model, version or repository",
    408: "The client was too slow",
    413: "Too large",
    415: "Another content encoding than gzip and deflate",
    500: "The engine failed",
    503: "Not ready, or the queue is full: Retry-After states when to retry",
    504: "The deadline passed",
}


def description(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a server."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), (schema, summary) in sorted(_OPERATIONS.items()):
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, schema, summary)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Residua",
            "version": __version__,
            "description": f"The Open Inference Protocol, version 2. Bodies of at most {settings.limits.body_bytes} "
            f"bytes, {settings.most_images} images a request.",
        },
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }
    if settings.token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _operation(method: str, path: str, schema: str, summary: str) -> dict[str, Any]:
    content: dict[str, Any] = {_TYPES.get(path, "application/json"): {"schema": _reference(schema)}}
    if path.endswith("/infer"):
        content["application/octet-stream"] = _BINARY
    responses: dict[str, Any] = {"200": {"description": summary, "content": content}}
    for status, text in STATUSES.items():
        # The health addresses answer with their own document where the server is not ready.
        own = schema if status == 503 and schema in ("Health", "ModelReady") else "Error"
        body = {"application/json": {"schema": _reference(own)}}
        responses[str(status)] = {"description": text, "content": body}
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    operation["parameters"] = [_path_parameter(name) for name in ("model", "version") if f"{{{name}}}" in path]
    if path == "/predict":
        operation["parameters"] += _query_parameters()
        form = {"schema": _object("", file={"type": "string", "format": "binary"})}
        operation["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": form, "image/*": _BINARY, "application/octet-stream": _BINARY},
        }
    elif method == "POST":
        name = path.rpartition("/")[2]
        body = {"application/json": {"schema": _reference(_REQUESTS[name])}}
        if name == "infer":
            operation["parameters"].append(
                {"name": "Inference-Header-Content-Length", "in": "header", "schema": _WHOLE, "required": False}
            )
            body["application/octet-stream"] = _BINARY
        operation["requestBody"] = {"required": name == "infer", "content": body}
    return operation


def _reference(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "string"}


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _query_parameters() -> list[dict[str, Any]]:
    schemas = {
        "top": {"type": "integer", "minimum": 1, "maximum": 999_999, "default": 5},
        "explain": {"enum": ["0", "1", "true", "false"], "default": "0"},
        "model": _TEXT,
        "version": _TEXT,
    }
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in schemas.items()]
