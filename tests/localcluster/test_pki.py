"""Certificates: who may be what, signed by whom, and kept when they are there."""

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fairlead_cluster import pki, ranges

ADDRESSES = ranges.Ranges(2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("cluster") / "pki"
    pki.ensure(made, pki.identities("node-1", ADDRESSES))
    return made


def certificate(folder, name):
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def attribute(subject, oid):
    return [entry.value for entry in subject.get_attributes_for_oid(oid)]


@pytest.mark.parametrize(
    ("name", "common_name", "organization"),
    [
        ("admin", "fairlead-admin", ["system:masters"]),
        ("kubelet", "system:node:node-1", ["system:nodes"]),
        ("kube-scheduler", "system:kube-scheduler", []),
        ("kube-controller-manager", "system:kube-controller-manager", []),
        ("kube-proxy", "system:kube-proxy", []),
        ("front-proxy-client", "front-proxy-client", []),
        ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"]),
    ],
)
def test_subjects_are_those_that_the_authorizers_know(folder, name, common_name, organization):
    subject = certificate(folder, name).subject
    assert attribute(subject, NameOID.COMMON_NAME) == [common_name]
    assert attribute(subject, NameOID.ORGANIZATION_NAME) == organization


@pytest.mark.parametrize("identity", pki.identities("node-1", ADDRESSES), ids=lambda i: i.file)
def test_every_certificate_is_signed_by_its_authority_only(folder, identity):
    issued = certificate(folder, identity.file)
    issued.verify_directly_issued_by(certificate(folder, identity.authority))
    for other in {pki.CLUSTER_CA, pki.FRONT_PROXY_CA, pki.ETCD_CA} - {identity.authority}:
        with pytest.raises(ValueError, match="match"):
            issued.verify_directly_issued_by(certificate(folder, other))


@pytest.mark.parametrize(
    ("name", "is_server"),
    [("apiserver", True), ("kubelet", True), ("etcd", True), ("admin", False), ("kwok", False)],
)
def test_only_servers_may_serve(folder, name, is_server):
    extension = certificate(folder, name).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert (ExtendedKeyUsageOID.SERVER_AUTH in extension.value) is is_server


def test_the_api_server_answers_to_its_names_and_addresses(folder):
    names = (
        certificate(folder, "apiserver")
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert set(names.get_values_for_type(x509.IPAddress)) == {
        IPv4Address("127.0.0.1"),
        ADDRESSES.node,
        ADDRESSES.api_service,
    }
    assert {"kubernetes.default.svc", "localhost"} <= set(names.get_values_for_type(x509.DNSName))


def test_certificates_hold_for_a_year_and_not_from_the_future(folder):
    now = datetime.now(UTC)
    admin = certificate(folder, "admin")
    assert admin.not_valid_before_utc < now
    assert now + timedelta(days=364) < admin.not_valid_after_utc < now + timedelta(days=366)


def test_keys_are_for_root_alone(folder):
    for key in folder.glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_second_call_changes_nothing(folder):
    before = {file: file.read_bytes() for file in folder.iterdir()}
    pki.ensure(folder, pki.identities("node-1", ADDRESSES))
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_an_interrupted_pair_is_made_anew(folder):
    (folder / "kwok.crt").unlink()
    old = (folder / "kwok.key").read_bytes()
    pki.ensure(folder, pki.identities("node-1", ADDRESSES))
    assert (folder / "kwok.key").read_bytes() != old
    certificate(folder, "kwok").verify_directly_issued_by(certificate(folder, pki.CLUSTER_CA))
