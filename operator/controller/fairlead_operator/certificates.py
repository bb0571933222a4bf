"""The progress endpoint's own CA and serving certificate, in one Secret that replicas share.

Made once (the first replica's creation wins), renewed well before they end. The CA outlives
every job's ConfigMap that carries it: renewing the serving certificate keeps the CA.
"""

import asyncio
import base64
import itertools
import logging
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fairlead_api import names
from fairlead_operator import kube
from fairlead_operator.kube import Cluster
from fairlead_operator.plan import Manifest

logger: Final = logging.getLogger(__name__)

CA_LIFE: Final = timedelta(days=3650)
CERTIFICATE_LIFE: Final = timedelta(days=90)
RENEW_BEFORE: Final = timedelta(days=30)
CHECK_SECONDS: Final = 6 * 3600.0
RETRY_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 5.0
_CA_KEY, _CA = "ca.key", names.CA_KEY
_KEY, _CERTIFICATE = "tls.key", "tls.crt"


@dataclass(frozen=True)
class Bundle:
    """Everything that the Secret holds, PEM."""

    ca: bytes
    ca_key: bytes
    certificate: bytes
    key: bytes

    def as_data(self) -> dict[str, str]:
        """The Secret's data."""
        return {
            _CA: base64.b64encode(self.ca).decode(),
            _CA_KEY: base64.b64encode(self.ca_key).decode(),
            _CERTIFICATE: base64.b64encode(self.certificate).decode(),
            _KEY: base64.b64encode(self.key).decode(),
        }


def read(secret: Manifest) -> Bundle | None:
    """The bundle in a Secret; None where it isn't whole."""
    data = secret.get("data") or {}
    try:
        parts = {name: base64.b64decode(data[name]) for name in (_CA, _CA_KEY, _CERTIFICATE, _KEY)}
        x509.load_pem_x509_certificate(parts[_CA])
        x509.load_pem_x509_certificate(parts[_CERTIFICATE])
    except (KeyError, ValueError):
        return None
    return Bundle(parts[_CA], parts[_CA_KEY], parts[_CERTIFICATE], parts[_KEY])


def make(host: str, now: datetime, old: Bundle | None = None) -> Bundle:
    """A serving certificate for a host, by the old CA while that lasts, else by a new one."""
    if old is not None and _ends(old.ca) - now > CERTIFICATE_LIFE:
        ca = x509.load_pem_x509_certificate(old.ca)
        ca_key = _load_key(old.ca_key)
    else:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca = _self_signed(ca_key, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _serving(host, now, key, ca, ca_key)
    return Bundle(_pem(ca), _key_pem(ca_key), _pem(certificate), _key_pem(key))


def is_due(bundle: Bundle, host: str, now: datetime) -> bool:
    """Whether a bundle must be renewed: it ends soon, or it names another host."""
    certificate = x509.load_pem_x509_certificate(bundle.certificate)
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    hosts = extension.value.get_values_for_type(x509.DNSName)
    return host not in hosts or _ends(bundle.certificate) - now < RENEW_BEFORE


async def ensure(cluster: Cluster, namespace: str, name: str, host: str) -> Bundle:
    """The bundle that all replicas serve with; made or renewed where needed."""
    for number in itertools.count():
        if number:
            await asyncio.sleep(min(0.1 * 2**number, _LONGEST_PAUSE_SECONDS))
        now = datetime.now(UTC)
        try:
            secret = await cluster.get(kube.SECRET, namespace, name)
        except kube.NotFound:
            bundle = make(host, now)
            try:
                await cluster.create(_secret(namespace, name, bundle))
            except kube.Conflict as error:  # another replica, or a quota that was counted anew
                logger.info("the progress endpoint's certificate, again: %s", error)
                continue
            logger.info("made the progress endpoint's CA and certificate for %s", host)
            return bundle
        found = read(secret)
        if found is not None and not is_due(found, host, now):
            return found
        bundle = make(host, now, found)
        try:
            await cluster.replace(secret | {"data": bundle.as_data()})
        except kube.Conflict as error:  # another replica renews it: read what it wrote
            logger.info("the progress endpoint's certificate, again: %s", error)
            continue
        logger.info("renewed the progress endpoint's certificate for %s", host)
        return bundle
    raise AssertionError("unreachable: it is tried until it is done")


class Keeper:
    """What this replica serves the progress endpoint with now."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, host: str) -> None:
        self._cluster, self._place = cluster, (namespace, name, host)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        """New connections get the newest certificate."""
        self.authority = ""
        """The CA that signed it, PEM: what jobs that begin now are told to trust."""

    async def renew(self) -> None:
        """Serve with what the Secret holds, which is made or renewed where needed."""
        bundle = await ensure(self._cluster, *self._place)
        load(self.context, bundle)
        self.authority = bundle.ca.decode()

    async def keep(self) -> None:
        """Renew in time, for ever; what is served stays while the API server refuses."""
        while True:
            try:
                await self.renew()
                pause = CHECK_SECONDS
            except kube.ClusterError as error:
                logger.warning("the progress endpoint's certificate: %s; trying again", error)
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)


def load(context: ssl.SSLContext, bundle: Bundle) -> None:
    """Serve with this certificate from now on. OpenSSL reads files only."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(bundle.certificate + bundle.key)
        file.flush()
        context.load_cert_chain(file.name)


def _secret(namespace: str, name: str, bundle: Bundle) -> Manifest:
    return {
        "apiVersion": kube.SECRET.api_version,
        "kind": kube.SECRET.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        },
        "type": "Opaque",
        "data": bundle.as_data(),
    }


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    subject = _name("fairlead-progress-ca")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _builder(subject, subject, key, now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _serving(
    host: str,
    now: datetime,
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _builder(_name(host[:64]), ca.subject, key, now, CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ a little
        .not_valid_after(now + life)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _ends(pem: bytes) -> datetime:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the Secret's CA key is no elliptic-curve key; delete the Secret")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
