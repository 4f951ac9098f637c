"""What a connection's own properties leave open, said once where a command begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["exposures"]

_OFF = frozenset({"false", "f", "0"})
_IN_THE_CLEAR = frozenset({"PLAIN", "OAUTHBEARER"})
"""Mechanisms that send what they log in with; SCRAM proves it."""


def exposures(properties: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each check that is switched off and each secret that travels readable."""
    protocol = properties.get("security.protocol", "plaintext").lower()
    mechanism = properties.get("sasl.mechanisms", "")
    if protocol == "sasl_plaintext" and mechanism in _IN_THE_CLEAR:
        yield f"sasl.mechanisms = {mechanism} over sasl_plaintext: whoever hears the line can log in; use sasl_ssl"
    if protocol not in ("ssl", "sasl_ssl"):
        return
    if properties.get("enable.ssl.certificate.verification", "true") in _OFF:
        yield "enable.ssl.certificate.verification = false: whoever answers is believed to be the broker"
    elif properties.get("ssl.endpoint.identification.algorithm", "https") == "none":
        yield "ssl.endpoint.identification.algorithm = none: any host with a certificate of this authority is believed"
