import pytest
from hypothesis import given
from hypothesis import strategies as st

from configkit.errors import InvalidDocumentError
from configkit.models import ConfigPath, ServiceInstance, check_url
from configkit.names import SHARED, check_environment, check_instance_id, check_key, check_service_name

HOSTILE = [
    "", ".", "..", "a..b", "../x", "a/b", "a//b", "/a", "a/", "%2e%2e", "a%2fb", "a?b", "a#b", "a;b", "a\\b", "a\x00b", "a\nb", "a\r",
    "a\x1b[0m", "\u0430pi_key", "a\u200bb", "\uff41", " a", "a ", "-a", "_a", ".a", "a.", "a-", "x" * 256, "x" * 4096, "é",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_key_is_refused_and_not_echoed(name: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        ConfigPath("development", "asr-service", name)
    assert caught.value.pointer == "/key"
    if len(name) > 2:
        assert name not in str(caught.value)


@pytest.mark.parametrize("name", [*HOSTILE, "ASR", "Asr-service", "x" * 101], ids=ascii)
def test_a_hostile_service_name_is_refused(name: str) -> None:
    if name == "a..b":
        assert check_service_name(name) == name
        return
    with pytest.raises(InvalidDocumentError):
        ConfigPath("development", name, "key")


@pytest.mark.parametrize("name", ["model_path", "a", "A.b-c_", "0", "x" * 255])
def test_a_plain_key_is_accepted(name: str) -> None:
    assert check_key(name) == name


def test_an_environment_must_be_one_of_those_that_exist() -> None:
    allowed = frozenset({"production", "staging"})
    assert check_environment("production", allowed=allowed) == "production"
    with pytest.raises(InvalidDocumentError, match="production, staging"):
        check_environment("prodution", allowed=allowed)


def test_foreign_services_may_have_capitals_and_the_shared_one_exists() -> None:
    assert check_service_name("Java-Service", foreign=True)
    assert check_service_name(SHARED) == SHARED
    assert check_instance_id("host:8080")
    with pytest.raises(InvalidDocumentError):
        ServiceInstance(SHARED, "http://asr:1")


@given(st.text())
def test_whatever_is_accepted_as_a_key_is_one_plain_path_segment(name: str) -> None:
    try:
        check_key(name)
    except InvalidDocumentError:
        return
    assert name.isascii()
    assert not set(name) & set("/\\%?#;: \t\r\n\x00")
    assert ".." not in name


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "http://", "http://user@host/", "http://user:pw@host", "ftp://host", "//host", "host:80", "http://host:0",
        "http://host:99999", "http://host:x", "http://ho st", "http://host\n", "http://host\\@evil", "javascript:alert(1)", "http://h#f", "",
        "http://" + "a" * 2048, "http://[::1", "http://\u0430.com",
    ],
)  # fmt: skip
def test_a_url_that_is_not_plain_http_is_refused(url: str) -> None:
    with pytest.raises(InvalidDocumentError):
        check_url(url, pointer="/service_url")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weight", -1), ("weight", 65536), ("weight", True), ("weight", 1.5), ("zone", "a b"), ("status", "fine"), ("metadata", {"a": 1}),
        ("metadata", {str(i): "x" for i in range(65)}), ("metadata", {"": "x"}), ("metadata", {"a": "x" * 1025}), ("instance_id", "a/b"),
    ],
)  # fmt: skip
def test_an_instance_with_a_bad_field_is_refused_by_the_fields_name(field: str, value: object) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        ServiceInstance("asr-service", "http://asr:1", **{field: value})  # type: ignore[arg-type]
    assert caught.value.pointer.startswith(f"/{field}")


def test_an_instance_without_an_id_gets_a_stable_one() -> None:
    first, second = (ServiceInstance("asr-service", "http://asr:1").instance_id for _ in range(2))
    assert first == second != ServiceInstance("asr-service", "http://asr:2").instance_id
