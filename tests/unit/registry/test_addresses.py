"""Which addresses a health check may call, in every spelling."""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configkit.errors import InvalidDocumentError
from configkit.registry.addresses import AddressPolicy, check_address, check_url_host, literal, networks

OPEN = AddressPolicy()
LOCAL = AddressPolicy(loopback=True)

LOOPBACK_HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f.1", "0x7F000001", "0X7f.0.0.1", "0177.0.0.1", "017700000001",
    "0x7f.0x0.0x0.0x1", "0177.1", "127.0.0.1.", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::127.0.0.1]", "[64:ff9b:1:7f00:0:1::]",
    "[64:ff9b:1:7f:0:1::]", "[64:ff9b:1:0:7f:0:100::]", "[2002:7f00:1::]", "[2002:7f00:0001::1]", "[2001:0:808:808::80ff:fffe]",
    "[2001:0:7f00:1::f7f7:f7f7]", "[2001:db8::5efe:127.0.0.1]", "[2001:db8::200:5efe:7f00:1]", "localhost", "LOCALHOST", "localhost.",
    "a.localhost", "ip6-localhost", "localhost.localdomain",
]  # fmt: skip
NEVER_HOSTS = [
    ("169.254.169.254", "metadata"), ("0xa9fea9fe", "metadata"), ("2852039166", "metadata"), ("[::ffff:169.254.169.254]", "metadata"),
    ("0251.0376.0251.0376", "metadata"), ("169.254.43518", "metadata"), ("[64:ff9b::a9fe:a9fe]", "metadata"),
    ("[2002:a9fe:a9fe::1]", "metadata"), ("[64:ff9b:1:a9fe:a9:fe00::]", "metadata"), ("[fd00:ec2::254]", "metadata"),
    ("[fd00:0ec2:0:0:0:0:0:0254]", "metadata"), ("100.100.100.200", "metadata"), ("[::ffff:100.100.100.200]", "metadata"),
    ("1684301000", "metadata"), ("168.63.129.16", "metadata"), ("169.254.1.1", "link-local"), ("[fe80::1]", "link-local"),
    ("[fe80::1%25eth0]", "link-local"), ("[febf::1]", "link-local"), ("0.0.0.0", "unspecified"), ("0", "unspecified"), ("0x0", "unspecified"),
    ("0.1.2.3", "unspecified"), ("[::]", "unspecified"), ("[::ffff:0.0.0.0]", "unspecified"), ("[64:ff9b:1::]", "unspecified"),
    ("224.0.0.1", "multicast"), ("239.255.255.255", "multicast"), ("[ff02::1]", "multicast"), ("[::ffff:224.0.0.1]", "multicast"),
    ("255.255.255.255", "broadcast"), ("4294967295", "broadcast"), ("0xffffffff", "broadcast"), ("240.0.0.1", "reserved"),
    ("192.0.0.8", "reserved"), ("[100::1]", "reserved"), ("[fec0::1]", "reserved"), ("[4000::1]", "reserved"), ("[::2]", "unspecified"),
]  # fmt: skip
NO_HOSTS = [
    "256.1.1.1", "1.2.3.4.5", "1.2.3.256", "0x1ffffffff", "4294967296", "127.0.0.08", "a..b", "127..1", "1.2.3.0xg.4", "%31%32%37.0.0.1", "a_b!c",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
def test_loopback_is_refused_in_every_spelling_unless_the_server_itself_is_on_it(host: str) -> None:
    with pytest.raises(InvalidDocumentError, match="loopback address") as refused:
        check_url_host(f"http://{host}:8080/health", OPEN)
    assert refused.value.pointer == "/health_check_url"
    check_url_host(f"http://{host}:8080/health", LOCAL)


@pytest.mark.parametrize(("host", "kind"), NEVER_HOSTS)
def test_these_are_refused_in_every_spelling_whatever_the_policy(host: str, kind: str) -> None:
    everything = AddressPolicy(loopback=True, allowed=networks(["0.0.0.0/0", "::/0"]))
    for policy in (OPEN, LOCAL, everything):
        with pytest.raises(InvalidDocumentError, match=f"a {kind} address"):
            check_url_host(f"https://{host}/health", policy)


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_neither_name_nor_address_is_refused(host: str) -> None:
    with pytest.raises(InvalidDocumentError, match="neither a name nor an address"):
        check_url_host(f"http://{host}/", LOCAL)


@pytest.mark.parametrize(
    "host",
    ["10.0.0.5", "172.16.3.4", "192.168.1.1", "100.64.0.1", "[fd12:3456::1]", "8.8.8.8", "134744072", "[2606:4700::1111]", "[::ffff:10.0.0.5]",
     "[64:ff9b::8.8.8.8]", "[64:ff9b:1::10.0.0.5]", "[64:ff9b:1:a00:0:5::]", "[2002:a00:5::1]", "asr-service", "asr.example.com", "localhost.example.com",
     "my_service"],
)  # fmt: skip
def test_private_networks_public_addresses_and_names_are_allowed(host: str) -> None:
    check_url_host(f"http://{host}:8087/health", OPEN)


def test_settings_narrow_the_rule_for_carried_addresses_too() -> None:
    only_ten = AddressPolicy(allowed=networks(["10.0.0.0/8"]))
    assert check_address("10.1.2.3", only_ten) is None
    assert check_address("::ffff:10.1.2.3", only_ten) is None
    assert check_address("192.168.0.1", only_ten) == "address outside the allowed networks"
    assert check_address("64:ff9b::c0a8:1", only_ten) == "address outside the allowed networks"
    assert check_address("2606:4700::1", only_ten) == "address outside the allowed networks"
    without_ten = AddressPolicy(denied=networks(["10.0.0.0/8", "2002::/16"]))
    assert check_address("2002:808:808::1", without_ten) == "denied address"
    assert check_address("::ffff:10.1.2.3", without_ten) == "denied address"
    assert check_address("172.16.0.1", without_ten) is None


def test_a_network_with_host_bits_is_refused_when_it_is_set() -> None:
    with pytest.raises(InvalidDocumentError):
        networks(["10.0.0.1/8"])


@given(number=st.integers(min_value=0, max_value=2**32 - 1))
def test_every_ipv4_address_is_judged_alike_in_every_spelling(number: int) -> None:
    plain = IPv4Address(number)
    a, b, c, d = plain.packed
    spellings = [
        str(number), hex(number), oct(number).replace("0o", "0"), f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{number & 0xFFFF}",
        f"{a:#x}.{b:#x}.{c}.{d:#o}".replace("0o", "0"), f"0{a:o}.{b}.{c}.{d}", f"{plain}.",
    ]  # fmt: skip
    assert {literal(spelling) for spelling in spellings} == {plain}
    verdict = check_address(plain, OPEN)
    for prefix in ("::ffff:", "::ffff:0:", "64:ff9b::"):
        assert check_address(f"{prefix}{plain}", OPEN) == verdict
    assert check_address(IPv6Address(0x2002 << 112 | number << 80), OPEN) == verdict


@given(text=st.from_regex(r"\A(0x[0-9a-f]{1,9}|0?[0-9]{1,4})(\.(0x[0-9a-f]{1,9}|0?[0-9]{1,4})){0,4}\Z"))
def test_whatever_the_c_library_takes_for_an_address_is_the_same_address_here(text: str) -> None:
    try:
        theirs = struct.unpack("!I", socket.inet_aton(text))[0]
    except OSError:
        return
    assert literal(text) == IPv4Address(theirs)
