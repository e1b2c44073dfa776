"""The contract of `ConfigStore`: what lists and whole services show."""

from __future__ import annotations

from configkit.models import ConfigPath, ConfigSelector
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN

PORT = "config"

ENVIRONMENTS = ("development", "staging", "production")


def test_a_list_is_ordered_by_environment_service_and_key(deployment: Deployment) -> None:
    services = [fresh.name("svc") for _ in range(2)]
    keys = ("b", "Zeta", "a.b", "a", "a-b", "a_b", "a1", "ab")
    paths = [ConfigPath(environment, service, key) for key in keys for service in services for environment in ENVIRONMENTS]
    for path in paths:
        deployment.one.config.create(path, str(path), is_encrypted=False, origin=ORIGIN)
    page = deployment.other.config.list(ConfigSelector(services=frozenset(services)), limit=100)
    assert [item.path for item in page] == sorted(paths)
    assert [item.value for item in page] == [str(path) for path in sorted(paths)]
    assert page.total == len(paths)


def test_a_list_comes_in_pages_whose_total_counts_all(deployment: Deployment) -> None:
    service = fresh.name("svc")
    for number in range(7):
        deployment.one.config.create(fresh.path(f"k{number}", service=service), number, is_encrypted=False, origin=ORIGIN)
    pages = [deployment.one.config.list(fresh.only(service), limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [[item.path.key for item in page] for page in pages] == [["k0", "k1", "k2"], ["k3", "k4", "k5"], ["k6"], []]
    assert [(page.total, page.limit, page.offset) for page in pages] == [(7, 3, 0), (7, 3, 3), (7, 3, 6), (7, 3, 9)]


def test_a_list_holds_the_documents_that_reads_give(deployment: Deployment) -> None:
    service = fresh.name("svc")
    plain, secret = fresh.path("plain", service=service), fresh.path("secret", service=service)
    deployment.one.config.create(plain, [1, {"a": None}], is_encrypted=False, origin=ORIGIN, comment="why")
    deployment.one.config.create(secret, "hidden", is_encrypted=True, origin=ORIGIN)
    listed = list(deployment.one.config.list(fresh.only(service), limit=10))
    assert listed == [deployment.one.config.read(plain), deployment.one.config.read(secret)]


def test_a_list_has_no_deleted_keys_and_the_latest_version_of_the_others(deployment: Deployment) -> None:
    service = fresh.name("svc")
    for key in ("gone", "kept", "back"):
        deployment.one.config.create(fresh.path(key, service=service), 1, is_encrypted=False, origin=ORIGIN)
    deployment.one.config.update(fresh.path("kept", service=service), 2, origin=ORIGIN)
    for key in ("gone", "back"):
        deployment.one.config.delete(fresh.path(key, service=service), origin=ORIGIN)
    deployment.one.config.create(fresh.path("back", service=service), 3, is_encrypted=False, origin=ORIGIN)
    page = deployment.one.config.list(fresh.only(service), limit=10)
    assert [(item.path.key, item.value, item.version) for item in page] == [("back", 3, 2), ("kept", 2, 2)]
    assert page.total == 2


def test_a_selector_picks_by_environment_service_and_key_together(deployment: Deployment) -> None:
    asr, nmt = fresh.name("asr"), fresh.name("nmt")
    for environment in ENVIRONMENTS:
        for service in (asr, nmt):
            for key in ("a", "b"):
                path = ConfigPath(environment, service, key)
                deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN)

    def selected(**fields: frozenset[str]) -> list[str]:
        selector = ConfigSelector(**{"services": frozenset((asr, nmt)), **fields})
        page = deployment.other.config.list(selector, limit=100)
        assert page.total == len(page)
        return [str(item.path) for item in page]

    assert len(selected()) == 12
    assert selected(services=frozenset((asr,)), environments=frozenset(("staging",))) == [f"staging/{asr}/a", f"staging/{asr}/b"]
    assert selected(environments=frozenset(("staging", "production")), keys=frozenset("b")) == [
        f"{environment}/{service}/b" for environment in ("production", "staging") for service in (asr, nmt)
    ]
    assert selected(keys=frozenset(("a", "none"))) == [
        f"{environment}/{service}/a" for environment in sorted(ENVIRONMENTS) for service in (asr, nmt)
    ]


def test_a_selector_of_nothing_selects_nothing(deployment: Deployment) -> None:
    service = fresh.name("svc")
    deployment.one.config.create(fresh.path(service=service), 1, is_encrypted=False, origin=ORIGIN)
    nothing: frozenset[str] = frozenset()
    for selector in (
        ConfigSelector(environments=nothing, services=frozenset((service,))),
        ConfigSelector(services=nothing),
        ConfigSelector(services=frozenset((service,)), keys=nothing),
        fresh.only(fresh.name("unknown")),
    ):
        page = deployment.one.config.list(selector, limit=10)
        assert (list(page), page.total) == ([], 0)


def test_a_list_without_selection_counts_every_key(deployment: Deployment) -> None:
    before = deployment.one.config.list(ConfigSelector(), limit=1).total
    paths = [fresh.path(f"k{number}") for number in range(3)]
    for path in paths:
        deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
    deployment.one.config.delete(paths[0], origin=ORIGIN)
    assert deployment.one.config.list(ConfigSelector(), limit=1).total == before + 2


def test_a_whole_service_is_read_in_one_go(deployment: Deployment) -> None:
    service = fresh.name("svc")
    plain, secret, gone = (fresh.path(key, service=service) for key in ("plain", "secret", "gone"))
    deployment.one.config.create(plain, {"a": 1}, is_encrypted=False, origin=ORIGIN)
    deployment.one.config.create(secret, "hidden", is_encrypted=True, origin=ORIGIN)
    deployment.one.config.create(gone, "gone", is_encrypted=False, origin=ORIGIN)
    deployment.one.config.delete(gone, origin=ORIGIN)
    deployment.one.config.create(fresh.path("other", environment="staging", service=service), 1, is_encrypted=False, origin=ORIGIN)
    read = deployment.other.config.read_service("development", service)
    assert read == {"plain": deployment.one.config.read(plain), "secret": deployment.one.config.read(secret)}
    assert read["secret"].value == "hidden"


def test_a_service_of_more_keys_than_a_page_is_read_whole(deployment: Deployment) -> None:
    service = fresh.name("svc")
    for number in range(120):
        deployment.one.config.create(fresh.path(f"k{number}", service=service), number, is_encrypted=False, origin=ORIGIN)
    read = deployment.one.config.read_service("development", service)
    assert {key: document.value for key, document in read.items()} == {f"k{number}": number for number in range(120)}


def test_a_service_without_keys_is_empty(deployment: Deployment) -> None:
    assert deployment.one.config.read_service("production", fresh.name("svc")) == {}


def test_the_shared_service_is_a_service_like_any_other(deployment: Deployment) -> None:
    path = fresh.path(fresh.name("key"), service="_shared")
    written = deployment.one.config.create(path, "for all", is_encrypted=False, origin=ORIGIN)
    assert deployment.one.config.read_service("development", "_shared")[path.key] == written
