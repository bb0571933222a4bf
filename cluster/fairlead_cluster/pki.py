"""Certificate authorities, certificates and keys of a cluster; made once, kept on disk.

Three authorities, because the API server refuses a front proxy that shares one with its clients,
and because a pod on the host's network must not be a client of etcd.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fairlead_cluster import ranges

CLUSTER_CA = "ca"
FRONT_PROXY_CA = "front-proxy-ca"
ETCD_CA = "etcd-ca"
SERVICE_ACCOUNT = "service-account"
LIFETIME = timedelta(days=365)
_BACKDATED = timedelta(minutes=5)
"""Clocks of hosts and containers may differ a little."""


@dataclass(frozen=True)
class Identity:
    """A certificate to be made: file name, subject and what it may be used for."""

    file: str
    authority: str
    common_name: str
    organization: str | None = None
    names: tuple[str, ...] = ()
    addresses: tuple[IPv4Address, ...] = ()
    """Names or addresses make it a server certificate, none a client certificate only."""


def identities(node_name: str, addresses: ranges.Ranges) -> list[Identity]:
    """All certificates of a cluster."""
    loopback = IPv4Address("127.0.0.1")
    api_names = (
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
    api_addresses = (loopback, addresses.api_service, addresses.node)
    admin, nodes = "system:masters", "system:nodes"
    controller, scheduler = "system:kube-controller-manager", "system:kube-scheduler"
    return [
        Identity("apiserver", CLUSTER_CA, "kube-apiserver", None, api_names, api_addresses),
        Identity("apiserver-kubelet-client", CLUSTER_CA, "kube-apiserver-kubelet-client", admin),
        Identity("admin", CLUSTER_CA, "fairlead-admin", admin),
        Identity("kwok", CLUSTER_CA, "kwok", admin),
        Identity("kube-controller-manager", CLUSTER_CA, controller),
        Identity("kube-scheduler", CLUSTER_CA, scheduler),
        Identity("kube-proxy", CLUSTER_CA, "system:kube-proxy"),
        Identity(
            *("kubelet", CLUSTER_CA, f"system:node:{node_name}", nodes),
            names=(node_name,),
            addresses=(addresses.node,),
        ),
        Identity("front-proxy-client", FRONT_PROXY_CA, "front-proxy-client"),
        Identity("etcd", ETCD_CA, "etcd", None, ("localhost",), (loopback,)),
        Identity("apiserver-etcd-client", ETCD_CA, "kube-apiserver"),
    ]


def ensure(folder: Path, wanted: Sequence[Identity]) -> None:
    """Make what is missing; a certificate counts as made when its .crt is there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in (CLUSTER_CA, FRONT_PROXY_CA, ETCD_CA):
        if not (folder / f"{authority}.crt").exists():
            _make_authority(folder, authority)
    if not (folder / f"{SERVICE_ACCOUNT}.pub").exists():
        _make_service_account_key(folder)
    for identity in wanted:
        if not (folder / f"{identity.file}.crt").exists():
            _make_certificate(folder, identity)


def _make_authority(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"fairlead-{name}", None)
    usage = _key_usage(signs_certificates=True)
    built = (
        _builder(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    _write_pair(folder, name, key, built.sign(key, hashes.SHA256()))


def _make_certificate(folder: Path, identity: Identity) -> None:
    authority_key = serialization.load_pem_private_key(
        (folder / f"{identity.authority}.key").read_bytes(), password=None
    )
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    authority = x509.load_pem_x509_certificate((folder / f"{identity.authority}.crt").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    subject = _subject(identity.common_name, identity.organization)
    built = (
        _builder(subject, authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.names]
    alternatives += [x509.IPAddress(address) for address in identity.addresses]
    if alternatives:
        uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        built = built.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    built = built.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    _write_pair(folder, identity.file, key, built.sign(authority_key, hashes.SHA256()))


def _make_service_account_key(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder / f"{SERVICE_ACCOUNT}.key", _pem(key))
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write(folder / f"{SERVICE_ACCOUNT}.pub", public)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + LIFETIME)
    )


def _subject(common_name: str, organization: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_pair(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    # The certificate comes last: it stands for the pair when an `up` was interrupted in between.
    _write(folder / f"{name}.key", _pem(key))
    _write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.new")
    aside.touch(mode=0o600)
    aside.write_bytes(content)
    os.replace(aside, path)
