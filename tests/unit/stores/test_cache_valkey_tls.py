"""A real Valkey or Redis that is asked by TLS: who proves what by which certificate, and what it costs the loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from isthmusd.stores.caching import Fault

from tests.fakes.valkey import Valkey, running_valkey
from tests.unit.stores.cache_files import answers
from tests.unit.stores.cached import item, name
from tests.unit.stores.valkeys import opened

CLUSTER = ("--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", "{bus}")
AT_ONCE = 16
LOOP_S = 0.25
"""Of the loop's thread, for so many connections: less than half of what the system's certificates took."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A key, and a certificate that it has made for itself."""

    key: Path
    certificate: Path


def certified(folder: Path, label: str = "valkey") -> Proof:
    """Make a key and a certificate of its own for this machine's loopback address."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = Proof(folder / f"{label}.key", folder / f"{label}.pem")
    paths.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    return paths


@contextmanager
def proving(proof: Proof, *options: str, callers: Proof | None = None) -> Generator[Valkey]:
    """A server that shows a certificate, and asks callers for one of theirs if there is one to know it by."""
    asked = ("--tls-auth-clients", "yes" if callers else "no", "--tls-ca-cert-file")
    known = (*asked, str((callers or proof).certificate))
    shown = ("--tls-cert-file", str(proof.certificate), "--tls-key-file", str(proof.key))
    with running_valkey("--tls-port", "{tls}", *shown, *known, *options, port=True) as server:
        yield server


async def test_a_server_is_asked_by_tls_if_it_can_prove_itself(tmp_path: Path) -> None:
    proof = certified(tmp_path)
    with proving(proof) as server:
        async with opened(f"rediss://127.0.0.1:{server.tls}") as store:
            assert await answers(store.get(name("a"))) is Fault.UNREACHABLE
        async with opened(f"valkeys://127.0.0.1:{server.tls}/0?ssl_ca_certs={proof.certificate}") as store:
            await store.put(item("a"))
            assert await store.get(name("a")) == item("a")
        async with opened(f"redis://127.0.0.1:{server.port}/0?ssl_ca_certs={proof.certificate}") as store:
            assert await answers(store.get(name("a"))) is Fault.REFUSED


@contextmanager
def trusting(certificate: Path) -> Generator[None]:
    """Let it be the system's, for OpenSSL."""
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(certificate)
    try:
        yield
    finally:
        del os.environ["SSL_CERT_FILE"]
        if before is not None:
            os.environ["SSL_CERT_FILE"] = before


async def test_certificates_of_the_url_are_in_place_of_the_systems(tmp_path: Path) -> None:
    proof, other = certified(tmp_path), certified(tmp_path, "other")
    with trusting(proof.certificate), proving(proof) as server:
        url = f"rediss://127.0.0.1:{server.tls}/0"
        async with opened(url) as store:
            assert await store.get(name("a")) is None
        async with opened(f"{url}?ssl_ca_certs={other.certificate}") as store:
            assert await answers(store.get(name("a"))) is Fault.UNREACHABLE


async def test_a_server_that_asks_for_a_certificate_gets_ours(tmp_path: Path) -> None:
    proof, ours = certified(tmp_path), certified(tmp_path, "ours")
    with proving(proof, callers=ours) as server:
        url = f"rediss://127.0.0.1:{server.tls}/0?ssl_ca_certs={proof.certificate}"
        async with opened(url) as store:
            assert await answers(store.get(name("a"))) is Fault.UNREACHABLE
        async with opened(f"{url}&ssl_certfile={ours.certificate}&ssl_keyfile={ours.key}") as store:
            await store.put(item("a"))
            assert await store.get(name("a")) == item("a")


@pytest.mark.parametrize("missing", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
async def test_a_file_that_is_not_there_is_a_fault_of_its_use_until_it_is(tmp_path: Path, missing: str) -> None:
    proof = certified(tmp_path)
    files = {"ssl_ca_certs": proof.certificate, "ssl_certfile": proof.certificate, "ssl_keyfile": proof.key}
    kept = files[missing].read_bytes()
    with proving(proof) as server:
        extras = "&".join(f"{extra}={path}" for extra, path in files.items())
        async with opened(f"rediss://127.0.0.1:{server.tls}/0?{extras}") as store:
            files[missing].unlink()
            await store.load()
            assert await answers(store.get(name("a"))) is Fault.UNREACHABLE
            files[missing].write_bytes(kept)
            await store.put(item("a"))


@pytest.mark.parametrize("options", [(), CLUSTER])
async def test_certificates_are_read_once_for_all_connections(tmp_path: Path, options: tuple[str, ...]) -> None:
    proof = certified(tmp_path)
    with proving(proof, *options) as server:
        if options:
            server.cluster_alone()
        async with opened(f"rediss://127.0.0.1:{server.tls}/0?ssl_ca_certs={proof.certificate}") as store:
            await store.put(item("a"))
            proof.certificate.unlink()
            before, began = _connections(server), time.thread_time()

            found = await asyncio.gather(*(answers(store.get(name("a"))) for _ in range(AT_ONCE)))

            assert time.thread_time() - began < LOOP_S
            assert found == [item("a")] * AT_ONCE
            assert _connections(server) > before


def _connections(server: Valkey) -> int:
    return int(server.say("INFO", "clients").partition(b"connected_clients:")[2].split()[0])


async def test_certificates_that_were_changed_are_read_after_a_fault(tmp_path: Path) -> None:
    proof = certified(tmp_path)
    with proving(proof) as server:
        async with opened(f"rediss://127.0.0.1:{server.tls}/0?ssl_ca_certs={proof.certificate}") as store:
            await store.put(item("a"))
            server.stop()
            certified(tmp_path)
            server.start()

            faults = await asyncio.gather(*(answers(store.get(name("a"))) for _ in range(AT_ONCE)))

            assert set(faults) <= {Fault.UNREACHABLE, None}
            await store.put(item("a"))
            assert await store.get(name("a")) == item("a")
