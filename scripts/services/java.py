"""What Kafka and ZooKeeper share: Java archives, kept in the user's cache folder, and how a JVM starts fast and stays small."""

from __future__ import annotations

import os
from pathlib import Path

from scripts.services.provision import MissingSoftwareError, Program, cached, run

JAVA = Program("java", "default-jre-headless")
MAVEN = Program("mvn", "maven")
_POM = Path(__file__).parent / "sources" / "pom.xml"
_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


def programs() -> tuple[Program, ...]:
    """Return what must be there; Maven only to download."""
    return (JAVA, MAVEN) if cached("java", [_POM]) is None else (JAVA,)


def install_archives() -> None:
    """Download what the POM names, unless it is here."""

    def download(folder: Path) -> None:
        options = ["-q", "-B", "-f", str(_POM), f"-DoutputDirectory={folder}"]
        run([MAVEN.path(), "dependency:copy-dependencies", *options], "downloading Kafka and ZooKeeper with Maven")

    cached("java", [_POM], download)


def command(main: str, *arguments: str, heap: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the command that runs the class *main*."""
    archives = cached("java", [_POM])
    if archives is None:
        remedy = "nox -s services -- start fetches them" if MAVEN.find() else f"install {MAVEN.package} first, which fetches them"
        raise MissingSoftwareError(f"the archives of Kafka and ZooKeeper are not on this machine: {remedy}")
    return [JAVA.path(), f"-Xmx{heap}", *_OPTIONS, *options, "-cp", os.path.join(archives, "*"), main, *arguments]  # noqa: PTH118
