"""The image is built of what the repository has, and `compose.yaml` gives it every system; no credential has a default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from configkit.settings import Settings

ROOT = Path(__file__).parents[2]


def copied() -> list[str]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return [source for *sources, _ in lines for source in sources]


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return document


def test_what_the_image_copies_is_there_and_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    assert len(copied()) >= 7
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert set(copied()) == allowed


def test_the_image_listens_to_others_and_runs_as_a_user_without_rights() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "CONFIGKIT_HOST=0.0.0.0" in text
    assert re.search(r"^USER configkit$", text, re.MULTILINE)
    assert not re.search(r"(TOKEN|PASSWORD|SECRET)=", text)


def test_the_composed_server_is_told_of_all_five_systems_by_names_that_the_settings_know() -> None:
    services = compose()["services"]
    environment: dict[str, str] = services["configkit"]["environment"]
    known = {str(choice) for field in Settings.model_fields.values() for choice in getattr(field.validation_alias, "choices", ())}
    assert set(environment) <= known
    for name in ("VAULT_ADDR", "DATABASE_URL", "REDIS_HOST", "KAFKA_BOOTSTRAP_SERVERS", "ZOOKEEPER_HOSTS"):
        host = re.sub(r"^\w+://(.*@)?", "", environment[name]).split(":")[0].split("/")[0]
        assert host in services, name
    assert set(services["configkit"]["depends_on"]) == {"vault-set-up", "postgres", "redis", "kafka", "zookeeper"}


def test_no_credential_of_the_composition_has_a_value_in_the_file() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    given = re.findall(r"^ +\w*(?:PASSWORD|TOKEN|SECRET_ID|TOKEN_ID|REDISCLI_AUTH): (.+)$", text, re.MULTILINE)
    assert len(given) >= 6
    assert [value for value in given if not value.startswith("${")] == []
