"""What a connection's properties leave open, and where its tokens come from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from certificates import Authority
from fanout._fanout import Cluster
from fanout.config.exposure import exposures
from fanout.config.settings import Flags, load_settings
from fanout.config.tokens import token_function, with_token_function
from fanout.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SSL = {"bootstrap.servers": "b:1", "security.protocol": "ssl"}
BEARER = {"bootstrap.servers": "b:1", "security.protocol": "sasl_plaintext", "sasl.mechanisms": "OAUTHBEARER"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "path", sys.path[:])


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({}, []),
        ({"security.protocol": "sasl_ssl", "sasl.mechanisms": "PLAIN"}, []),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "SCRAM-SHA-256"}, []),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN"}, ["sasl_plaintext"]),
        (SSL | {"enable.ssl.certificate.verification": "false"}, ["enable.ssl.certificate.verification"]),
        (SSL | {"ssl.endpoint.identification.algorithm": "none"}, ["ssl.endpoint.identification.algorithm"]),
        ({"ssl.endpoint.identification.algorithm": "none"}, []),
    ],
)
def test_what_is_switched_off_or_readable_is_said_once(properties: dict[str, str], named: list[str]) -> None:
    said = list(exposures(properties))
    assert len(said) == len(named)
    assert all(name in sentence for name, sentence in zip(named, said, strict=True))


def test_a_token_function_is_found_in_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "shop_tokens.py").write_text("def kafka(config):\n    return 'token', 0.0\nnumber = 7\n")
    function = with_token_function(BEARER | {"oauth_cb": "shop_tokens:kafka"})["oauth_cb"]
    assert function("") == ("token", 0.0)
    assert "oauth_cb" not in with_token_function(BEARER)
    for path, problem in [
        ("shop_tokens", "is not `package.module:function`"),
        ("os; import x:y", "is not `package.module:function`"),
        ("no_such_module:kafka", "does not import: ModuleNotFoundError"),
        ("shop_tokens:number", "has no function `number`"),
    ]:
        with pytest.raises(ConfigError, match=problem):
            token_function(path)


def test_a_token_function_is_imported_only_with_leave_from_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="imports and calls a Python function"):
        load_settings(Flags(properties=("oauth_cb=shop:token",)))
    (tmp_path / "fanout.toml").write_text('allow_properties = ["oauth_cb"]\n[kafka]\noauth_cb = "shop:token"\n')
    _, clients = load_settings(Flags(bootstrap_servers="b:1"))
    assert clients.of("core", "test")["oauth_cb"] == "shop:token"
    assert clients.of("admin", "test")["oauth_cb"] == "shop:token"


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        (BEARER, "oauth_cb: is missing"),
        (SSL | {"ssl.ca.location": "/no/such/file"}, "ssl.ca.location: cannot read /no/such/file"),
        (SSL | {"ssl.keystore.location": "a.p12"}, "ssl.keystore.location: PKCS#12 is not read"),
        (SSL | {"oauth_cb": "nowhere:token"}, "oauth_cb: nowhere:token does not import"),
        (SSL | {"sasl.username": "me"}, "sasl.username: counts only with security.protocol = sasl_ssl"),
    ],
)
def test_the_core_refuses_under_the_property_s_own_name(properties: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Cluster(properties)
    assert str(refused.value).startswith(said)


def test_a_key_is_opened_by_its_own_password_only_from_a_file_or_from_text(tmp_path: Path) -> None:
    own = Authority("authority", tmp_path).issue("mover")
    certificate, key = own.write(tmp_path, "mover", "open sesame")
    trust = SSL | {"ssl.ca.pem": (tmp_path / "authority.pem").read_text(), "ssl.certificate.location": certificate}
    Cluster(trust | {"ssl.key.location": key, "ssl.key.password": "open sesame"})
    Cluster(trust | {"ssl.key.pem": own.key_pem("open sesame"), "ssl.key.password": "open sesame"})
    Cluster(trust | {"ssl.key.pem": own.key_pem()})
    for properties, said in [
        ({"ssl.key.location": key}, f"ssl.key.location: {key} is encrypted: set ssl.key.password"),
        ({"ssl.key.location": key, "ssl.key.password": "CANARY"}, f"ssl.key.location: {key} is not opened by ssl.key."),
        ({"ssl.key.location": certificate}, f"ssl.key.location: {certificate} holds no private key"),
        ({"ssl.key.pem": "Proc-Type: 4,ENCRYPTED"}, "ssl.key.pem: the text is encrypted in OpenSSL's old format"),
    ]:
        with pytest.raises(ConfigError) as refused:
            Cluster(trust | properties)
        assert str(refused.value).startswith(said)
        assert "CANARY" not in str(refused.value)


def test_a_key_that_belongs_to_another_certificate_is_refused(tmp_path: Path) -> None:
    authority = Authority("authority", tmp_path)
    one, other = authority.issue("one"), authority.issue("other")
    properties = {"ssl.ca.location": str(authority.bundle), "ssl.certificate.pem": one.certificate_pem()}
    with pytest.raises(ConfigError, match=r"ssl\.certificate\.location: "):
        Cluster(SSL | properties | {"ssl.key.pem": other.key_pem()})
