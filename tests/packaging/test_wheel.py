"""The wheel alone, in a virtual environment of its own."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, timeout=280, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(folder: Path, requirement: str) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", requirement)
    return python


@pytest.mark.timeout(300)
def test_the_wheel_with_its_extras_serves_and_migrates_by_itself(wheel: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "venv", f"configkit[all] @ {wheel.as_uri()}")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CONFIGKIT_SERVICE_NAME": "asr-service"}
    configkit = python.parent / "configkit"
    run(configkit, "config", "set", "model_path", "/models/asr", env=env)
    assert run(configkit, "config", "get", "model_path", env=env).strip() == "/models/asr"
    assert (tmp_path / ".local/share/configkit/configkit.db").exists()


@pytest.mark.timeout(300)
def test_the_wheel_alone_is_the_remote_client_and_names_the_missing_extra(wheel: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "venv", str(wheel))
    script = """
import configkit, configkit.testing
with configkit.testing.memory({"k": 1}, flags={"f": True}) as kit:
    assert kit.config.get("k") == 1 and kit.flags.is_enabled("f", user_id="u")
kit = configkit.connect("http://127.0.0.1:9", service_name="asr-service", deadline=1)
assert kit.config.get("k", "default") == "default"
kit.close()
try:
    configkit.connect(mode="embedded")
except configkit.MissingExtraError as error:
    print(error)
"""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    assert "configkit[embedded]" in run(python, "-c", script, env=env)
    failed = subprocess.run([python.parent / "configkit"], check=False, capture_output=True, text=True, timeout=60, env=env)
    assert failed.returncode == 1
    assert "configkit[cli]" in failed.stderr
