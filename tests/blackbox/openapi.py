# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.yaml, and whether an answer of the server is one that it describes.

Clients must not mind members they do not know, so the document leaves its schemas open; the server may
not have members that the document does not know, so here they are closed.
"""
import json
import pathlib
import re

import jsonschema
import yaml

PATH = pathlib.Path(__file__).resolve().parents[2] / "docs/openapi.yaml"
TEXT = PATH.read_text(encoding="utf-8")
DOCUMENT = yaml.safe_load(TEXT)
METHODS = {"get", "head", "post", "put", "patch", "delete", "options", "trace"}
# What `default` stands for: answers to requests that are not understood, or not served just now.
ANY_REQUEST = {408, 413, 414, 417, 431, 500, 501, 503, 505}
# Headers of HTTP itself, of CORS, and those that the document's introduction promises everywhere.
EVERYWHERE = {"content-type", "content-length", "date", "connection", "vary", "upgrade", "retry-after",
              "x-request-id", "x-content-type-options", "cache-control"}


def closed(schema):
    """The schema, with members of objects refused that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: {name: closed(one) for name, one in value.items()} if key == "properties" else closed(value)
             for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        found.setdefault("additionalProperties", False)
    return found


CLOSED = {name: closed(schema) for name, schema in DOCUMENT["components"]["schemas"].items()}


def resolve(item):
    """The item, or what its $ref points at. References stay within the document."""
    while isinstance(item, dict) and "$ref" in item and item["$ref"].startswith("#/"):
        target = DOCUMENT
        for part in item["$ref"][2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        item = target
    return item


def problem(schema, value):
    """Why the value does not have the schema, or None."""
    root = {"allOf": [closed(schema)], "components": {"schemas": CLOSED}}
    errors = jsonschema.Draft202012Validator(root).iter_errors(value)
    found = jsonschema.exceptions.best_match(errors)
    return found and f"{found.json_path}: {found.message}"


def operations():
    """(path, method, operation), of all."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


BY_ID = {operation["operationId"]: (path, method, operation)
         for path, method, operation in operations() if "operationId" in operation}


def parameters(operation_id):
    path, _, operation = BY_ID[operation_id]
    return [resolve(one) for one in
            DOCUMENT["paths"][path].get("parameters", []) + operation.get("parameters", [])]


def response_of(operation, status):
    if str(status) in operation["responses"]:
        return resolve(operation["responses"][str(status)])
    assert status in ANY_REQUEST, f"{status} is not documented"
    return resolve(operation["responses"]["default"])


def check_headers(response, headers):
    documented = {name.lower(): resolve(one) for name, one in response.get("headers", {}).items()}
    for name, header in documented.items():
        assert name in headers or not header.get("required"), f"{name} is missing"
        if name in headers:
            assert problem(header["schema"], headers[name]) is None, f"{name}: {headers[name]}"
    unknown = set(headers) - set(documented) - EVERYWHERE
    assert not {name for name in unknown if not name.startswith("access-control-")}


def check(operation, status, headers, body):
    """Fails unless the document has this answer of the operation. Names of headers in lower case."""
    response = response_of(operation, status)
    check_headers(response, headers)
    if status == 101:
        return
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert ("retry-after" in headers) == (status in (429, 503))
    content = response.get("content")
    if not content:
        assert body == b"" and "content-type" not in headers
        return
    media_type = re.split(r"\s*;", headers["content-type"])[0]
    assert media_type in content
    value = json.loads(body) if media_type == "application/json" else body.decode()
    assert problem(content[media_type]["schema"], value) is None, problem(content[media_type]["schema"], value)
    if status >= 400 and "error" in value:
        assert value["error"]["requestId"] == headers["x-request-id"]
