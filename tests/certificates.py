"""Certificates as a company's own authority would make them, and as it would not."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Authority", "Issued"]

DAY = dt.timedelta(days=1)
LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> str:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def key_pem(self, password: str | None = None) -> str:
        """The key as PKCS#8, encrypted when a password is given."""
        seal = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, seal).decode()

    def write(self, folder: Path, stem: str, password: str | None = None) -> tuple[str, str]:
        """Two files, the certificate's and the key's; returns their paths."""
        paths = folder / f"{stem}.pem", folder / f"{stem}.key"
        paths[0].write_text(self.certificate_pem())
        paths[1].write_text(self.key_pem(password))
        return str(paths[0]), str(paths[1])

    def keystore(self, folder: Path, stem: str) -> str:
        """One file as a broker reads it with `ssl.keystore.type=PEM`."""
        path = folder / f"{stem}-keystore.pem"
        path.write_text(self.key_pem() + self.certificate_pem())
        return str(path)


class Authority:
    """Signs certificates. `bundle` is what those who trust it are given."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = _builder(self._name, self._name, self._key, days=(-1, 30))
        certificate = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        self.bundle = folder / f"{name}.pem"
        self.bundle.write_bytes(pem)

    def issue(self, name: str, hosts: tuple[str, ...] = LOOPBACK, days: tuple[int, int] = (-1, 30)) -> Issued:
        """A certificate for `hosts`, valid from and to so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(name), self._name, key, days=days)
        alternatives = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
        return Issued(builder.add_extension(alternatives, critical=False).sign(self._key, hashes.SHA256()), key)

    @classmethod
    def self_signed(cls, name: str) -> Issued:
        """A certificate that nobody but itself vouches for."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(name), _named(name), key, days=(-1, 30))
        alternatives = x509.SubjectAlternativeName([_alternative(host) for host in LOOPBACK])
        return Issued(builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: tuple[int, int]
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
