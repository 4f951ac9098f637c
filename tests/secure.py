"""A real Kafka that lets nobody in unseen: TLS listeners of every kind, logins, and ACLs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from certificates import Authority, Issued
from fanout.demo.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["SecureCluster", "no_token"]

USER = "mover"
T = TypeVar("T")
REAUTHENTICATE_MS = 15_000
"""How long a session lasts. A fifth of it is left when a client logs in again: as long as a machine may stall."""
KNOWN_S = 60.0

_JAAS = {
    "plain": "plain.PlainLoginModule required user_{user}='{password}'",
    "scram-sha-256": "scram.ScramLoginModule required",
    "scram-sha-512": "scram.ScramLoginModule required",
    "oauthbearer": "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub='broker'",
}
_RESOURCES = {
    "--topic": ResourceType.TOPIC,
    "--group": ResourceType.GROUP,
    "--transactional-id": ResourceType.TRANSACTIONAL_ID,
}


class SecureCluster(Cluster):
    """One node whose plain listener belongs to the test itself: whoever comes by it may do everything.

    secure: SASL_SSL, every mechanism, for `USER`. mutual: TLS with a client certificate. expired, selfsigned,
    elsewhere: TLS with a certificate that has run out, that nobody vouches for, that is another host's.
    """

    def __init__(self, folder: Path, password: str) -> None:
        self.folder = folder
        self.password = password
        self.authority = Authority("authority", folder)
        super().__init__(properties=self._settings_of_all())
        good = self.authority.issue("broker")
        kinds: dict[str, tuple[str, Issued]] = {
            "secure": ("SASL_SSL", good),
            "mutual": ("SSL", good),
            "expired": ("SSL", self.authority.issue("expired", days=(-9, -3))),
            "selfsigned": ("SSL", Authority.self_signed("selfsigned")),
            "elsewhere": ("SSL", self.authority.issue("elsewhere", hosts=("broker.example", "10.1.2.3"))),
        }
        self._ports = {name: self.node(1).listen(name.upper(), protocol) for name, (protocol, _) in kinds.items()}
        for name, (_, issued) in kinds.items():
            self._properties |= {
                f"listener.name.{name}.ssl.keystore.type": "PEM",
                f"listener.name.{name}.ssl.keystore.location": issued.keystore(folder, name),
            }

    def at(self, listener: str) -> str:
        """`bootstrap.servers` of one listener."""
        return f"127.0.0.1:{self._ports[listener]}"

    def properties_of(self, listener: str, **changed: str) -> dict[str, str]:
        """What a client of this listener sets: its address and the authority, a login where there is one.

        `changed` names properties with `__` for the dot; an empty value leaves one out.
        """
        chosen = {"bootstrap.servers": self.at(listener), "ssl.ca.location": str(self.authority.bundle)}
        if listener == "secure":
            chosen |= {"security.protocol": "sasl_ssl", "sasl.mechanisms": "SCRAM-SHA-512"}
            chosen |= {"sasl.username": USER, "sasl.password": self.password}
        else:
            chosen |= {"security.protocol": "ssl"}
        chosen |= {name.replace("__", "."): value for name, value in changed.items()}
        return {name: value for name, value in chosen.items() if value}

    def let_in(self) -> None:
        """Makes the user's SCRAM credentials known, and waits until the broker knows them."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            credential = ScramCredentialInfo(mechanism, 4096)
            wanted: list[Any] = [UserScramCredentialUpsertion(USER, credential, self.password.encode())]
            for future in admin.alter_user_scram_credentials(wanted).values():
                future.result(30)
            named = self.properties_of("secure", sasl__mechanisms=mechanism.name.replace("_", "-"))
            # It tries again where it is refused.
            AdminClient({**named, "log_level": 0}).list_topics(timeout=KNOWN_S)

    def allow(self, line: str) -> None:
        """Does what one `kafka-acls … --add …` line says, NAME being the user."""
        words = line.split()
        assert words[:2] == ["kafka-acls", "--bootstrap-server"], line
        assert words[3:6] == ["--add", "--allow-principal", "User:NAME"], line
        self.grant(" ".join(words[7:10]))

    def grant(self, right: str) -> None:
        """Lets the user do one thing: `Write --topic orders`."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_acls([_acl(AclBinding, right)]).values():
            future.result(30)
        self._wait_known(admin, right, 1)

    def revoke(self, right: str) -> None:
        """Takes back what was granted."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.delete_acls([_acl(AclBindingFilter, right)]).values():
            assert len(future.result(30)) == 1, f"{right} was not granted"
        self._wait_known(admin, right, 0)

    @staticmethod
    def _wait_known(admin: AdminClient, right: str, times: int) -> None:
        """The controller has it; the broker, which is asked for it, may be a moment behind."""
        deadline = time.monotonic() + KNOWN_S
        while len(admin.describe_acls(_acl(AclBindingFilter, right)).result(30)) != times:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{right}: not as it was changed after {KNOWN_S:g} s")
            time.sleep(0.02)

    def _settings_of_all(self) -> dict[str, str]:
        package = "org.apache.kafka.common.security"
        logins = {
            f"listener.name.secure.{mechanism}.sasl.jaas.config": f"{package}.{_quoted(jaas, self.password)};"
            for mechanism, jaas in _JAAS.items()
        }
        return logins | {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:CN=operator;User:operator",
            "listener.name.secure.sasl.enabled.mechanisms": ",".join(_JAAS).upper(),
            "listener.name.secure.oauthbearer.connections.max.reauth.ms": str(REAUTHENTICATE_MS),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.location": str(self.authority.bundle),
        }


def _acl(kind: Callable[..., T], right: str) -> T:
    operation, flag, name = right.split()
    what = _RESOURCES[flag], name, ResourcePatternType.LITERAL
    return kind(*what, f"User:{USER}", "*", AclOperation[operation.upper()], AclPermissionType.ALLOW)


def _quoted(jaas: str, password: str) -> str:
    return jaas.format(user=USER, password=password).replace("'", '"')


def no_token(_config: str) -> tuple[str, float]:
    """A token that no broker can read, good for a minute."""
    return "CANARY-is-no-token", time.time() + 60
