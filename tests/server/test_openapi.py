"""The OpenAPI document and the routes say the same."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from tests.server.deployment import CONFIG, FLAGS, PLACE, REGISTRY, Deployed, deployed, problem


def described(server: Deployed) -> dict[str, Any]:
    answer = server.http.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def test_each_documented_operation_is_served_and_no_other(server: Deployed) -> None:
    document = described(server)
    for path, item in document["paths"].items():
        url = path.replace("{key}", "a").replace("{name}", "a")
        if "get" in item and item["get"]["operationId"] in ("streamEvents", "ofrepEvents"):
            continue
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = server.http.request(method, url)
            if method.lower() in item:
                assert answer.status_code != 405, (method, path)
                assert str(answer.status_code) in item[method.lower()]["responses"], (method, path, answer.status_code)
            elif url not in (f"{CONFIG}/bulk", f"{FLAGS}/evaluate"):  # a key may have that name
                problem(answer, 405)


def test_the_document_is_of_openapi_3_1_and_its_references_lead_somewhere(server: Deployed) -> None:
    document = described(server)
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]

    def references(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                assert part["$ref"].removeprefix("#/components/schemas/") in schemas
            assert "x-environment" not in part
            for value in part.values():
                references(value)
        elif isinstance(part, list):
            for value in part:
                references(value)

    references(document)
    for schema in schemas.values():
        jsonschema_rs.meta.validate({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"})
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))


def test_every_operation_documents_its_scope_and_its_refusals(server: Deployed) -> None:
    for path, item in described(server)["paths"].items():
        for operation in item.values():
            if path in ("/live", "/ready"):
                assert operation["security"] == []
            else:
                assert {"401", "403"} <= operation["responses"].keys()
                assert {"bearer": []} in operation["security"]
            for status, response in operation["responses"].items():
                if int(status) >= 400 and (path, status) != ("/health", "503"):
                    assert "application/problem+json" in response["content"]


def test_the_environments_of_the_deployment_are_in_the_document(server: Deployed) -> None:
    properties = described(server)["components"]["schemas"]["ConfigCreate"]["properties"]
    assert properties["environment"]["enum"] == ["development", "production", "staging"]


def conforms(server: Deployed, answer: Any, path: str, method: str) -> None:
    document = described(server)
    response = document["paths"][path][method]["responses"][str(answer.status_code)]
    (media,) = response["content"]
    assert answer.headers["content-type"].startswith(media)
    schema = {"components": document["components"], **response["content"][media]["schema"]}
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(answer.json())


def test_answers_have_the_documented_form(server: Deployed) -> None:
    http = server.http
    conforms(server, http.post(CONFIG, json={"key": "a", "value": [1], **PLACE}), CONFIG, "post")
    conforms(server, http.post(CONFIG, json={"key": "a", "value": [1], **PLACE}), CONFIG, "post")
    conforms(server, http.get(f"{CONFIG}/a", params={**PLACE, "resolve": "true"}), CONFIG + "/{key}", "get")
    conforms(server, http.get(f"{CONFIG}/b", params=PLACE), CONFIG + "/{key}", "get")
    conforms(server, http.get(CONFIG), CONFIG, "get")
    conforms(server, http.get(CONFIG, params={"limit": 0}), CONFIG, "get")
    conforms(server, http.get(f"{CONFIG}/a/history", params=PLACE), CONFIG + "/{key}/history", "get")
    conforms(server, http.post(f"{CONFIG}/bulk", json=PLACE), CONFIG + "/bulk", "post")
    conforms(server, http.post(FLAGS, json={"name": "f", "environment": "development"}), FLAGS, "post")
    conforms(server, http.get(FLAGS, params={"environment": "development"}), FLAGS, "get")
    conforms(server, http.get(FLAGS), FLAGS, "get")
    for name in ("f", "unknown"):
        conforms(
            server,
            http.post(f"{FLAGS}/evaluate", json={"flag_name": name, "environment": "development"}),
            FLAGS + "/evaluate",
            "post",
        )
    conforms(server, http.post(f"{FLAGS}/evaluate/batch", json={"environment": "development"}), FLAGS + "/evaluate/batch", "post")
    conforms(
        server,
        http.post(f"{REGISTRY}/register", json={"service_name": "s", "service_url": "http://s:1"}),
        REGISTRY + "/register",
        "post",
    )
    conforms(server, http.get(f"{REGISTRY}/discover/s"), REGISTRY + "/discover/{name}", "get")
    conforms(server, http.get(f"{REGISTRY}/services"), REGISTRY + "/services", "get")
    conforms(server, http.get(f"{REGISTRY}/services/s/url"), REGISTRY + "/services/{name}/url", "get")
    conforms(server, http.get("/health"), "/health", "get")
    conforms(server, http.get("/ready"), "/ready", "get")


@pytest.mark.parametrize("path", ["/openapi.json", CONFIG])
def test_the_document_needs_credentials_once_there_are_any(path: str) -> None:
    with deployed(extra="the-token") as server:
        problem(server.http.get(path), 401)
