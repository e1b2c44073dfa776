"""Which flags are read: what processes tell of it in their metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from configkit.errors import InvalidDocumentError, MissingExtraError, UnavailableError
from configkit.settings import Settings

NAMES = frozenset({"configkit_flag_evaluations", "configkit_flag_evaluations_total"})
"""A server's own metric, and that of `configkit.integrations.opentelemetry` behind an exporter for Prometheus."""
_FLAG, _ENVIRONMENT = ("flag", "feature_flag_key"), ("environment", "feature_flag_set_id")
SECONDS = 10.0


def reads_of(urls: Sequence[str], environment: str, settings: Settings) -> Counter[str]:
    """
    Return how often each flag of *environment* was read, by the metrics at *urls* together, in Prometheus' text format.

    The configured token goes to the configured server only.

    Raises:
        InvalidDocumentError: A URL is none, or what is there is no such text.
        UnavailableError: Nothing answers there, or an error.
    """
    counts: Counter[str] = Counter()
    for url in urls:
        counts += _parsed(_fetched(url, settings), environment, url)
    return counts


def _fetched(url: str, settings: Settings) -> str:
    import httpx2  # noqa: PLC0415  most commands ask no server

    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidDocumentError(f"--metrics takes an address, such as http://localhost:8082/metrics, and not {url}")
    headers = {}
    if settings.token is not None and settings.url and _origin(url) == _origin(settings.url):
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    try:
        answer = httpx2.get(url, headers=headers, timeout=SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UnavailableError(f"{url}: {type(error).__name__}", backend="metrics", operation="read") from None
    if answer.status_code != 200:
        raise UnavailableError(f"{url} answers {answer.status_code}", backend="metrics", operation="read")
    return answer.text


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _parsed(text: str, environment: str, url: str) -> Counter[str]:
    try:
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415  only this option needs it
    except ImportError as error:
        raise MissingExtraError("server", "reading metrics") from error
    counts: Counter[str] = Counter()
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples if family.name in NAMES else ():
                flag, where = _label(sample.labels, _FLAG), _label(sample.labels, _ENVIRONMENT)
                if flag is not None and where == environment and not sample.name.endswith("_created"):
                    counts[flag] += int(sample.value)
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidDocumentError(f"what {url} answers are no metrics in Prometheus' text format") from error
    return counts


def _label(labels: dict[str, str], names: tuple[str, str]) -> str | None:
    return next((labels[name] for name in names if name in labels), None)
