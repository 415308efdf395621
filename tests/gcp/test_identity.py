from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

from tests.contracts.records_contract import Entity
from tests.gcp.conftest import client
from tests.gcp.pushes import sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from shared.ports import Records

PUSHER = "pusher@example.iam.gserviceaccount.com"
ANALYST = "analyst@example.com"
OPERATOR = "operator@example.com"
AUDIENCE = "https://record.example.com"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """Return a key; the same one for a name."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(name: str) -> str:
    """Return a certificate of a key, as the issuer publishes it."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key(name).public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return made.sign(key(name), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def token(signer: str = "current", algorithm: str = "RS256", **changed: Any) -> str:
    """Return a signed token; a claim that is None is left out."""
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "email": PUSHER,
        "email_verified": True,
        "iat": now,
        "exp": now + 600,
    } | changed
    pem = key(signer).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signing = crypt.RSASigner.from_string(pem, "current")
    payload = {name: value for name, value in claims.items() if value is not None}
    made: bytes = jwt.encode(signing, payload, header={"alg": algorithm})
    return made.decode()


class _Certs(BaseHTTPRequestHandler):
    """Publishes the current key, and counts how often it is asked."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        body = json.dumps({"current": certificate("current")}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def issuer(settings: pytest.MonkeyPatch) -> Iterator[type[_Certs]]:
    """Require tokens, signed by keys that are published on this machine."""
    _Certs.asked = 0
    server = HTTPServer(("127.0.0.1", 0), _Certs)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    settings.delenv("AGENTFABRIC_AUTH")
    settings.setenv("AGENTFABRIC_AUDIENCE", AUDIENCE)
    settings.setenv("AGENTFABRIC_PUSHER", PUSHER)
    settings.setenv("AGENTFABRIC_CALLERS", json.dumps({ANALYST: "acme", OPERATOR: "acme"}))
    settings.setenv("AGENTFABRIC_OPERATORS", OPERATOR)
    settings.setenv("AGENTFABRIC_CERTS", f"http://127.0.0.1:{server.server_port}/certs")
    yield _Certs
    server.shutdown()
    thread.join()
    server.server_close()


def push(recorder: FlaskClient, authorization: str) -> int:
    """Push the sample with this header; return the status."""
    return recorder.post("/", json=sample(), headers={"Authorization": authorization}).status_code


def test_the_subscriptions_own_token(issuer: type[_Certs], recorder: FlaskClient) -> None:
    """A push with the subscription's token is admitted, and its keys are fetched once for many."""
    assert [push(recorder, f"Bearer {token()}") for _ in range(3)] == [204] * 3
    assert issuer.asked == 1


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer é.é.é",
        "Bearer W10.W10.W10",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ],
)
@pytest.mark.usefixtures("issuer")
def test_no_token(recorder: FlaskClient, records: Records, authorization: str) -> None:
    """A push without a token that can be read is refused and writes nothing."""
    assert push(recorder, authorization) == 401
    assert records.parked("acme") == []


@pytest.mark.parametrize(
    "changed",
    [
        {"signer": "another"},
        {"algorithm": "HS256"},
        {"algorithm": "ES256"},
        {"aud": "https://elsewhere.example.com"},
        {"aud": None},
        {"iss": "https://evil.example.com"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000, "exp": 4_000_000_600},
    ],
)
@pytest.mark.usefixtures("issuer")
def test_a_token_that_does_not_hold(recorder: FlaskClient, records: Records, changed: dict[str, Any]) -> None:
    """A token of another key, kind, audience, issuer or time is refused and writes nothing."""
    assert push(recorder, f"Bearer {token(**changed)}") == 401
    assert records.parked("acme") == []


@pytest.mark.parametrize(
    "changed",
    [
        {"email": ANALYST},
        {"email": None},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
    ],
)
@pytest.mark.usefixtures("issuer")
def test_somebody_elses_token(recorder: FlaskClient, records: Records, changed: dict[str, Any]) -> None:
    """A sound token of anybody but the subscription's account may not push."""
    assert push(recorder, f"Bearer {token(**changed)}") == 403
    assert records.parked("acme") == []


@pytest.mark.usefixtures("issuer")
def test_a_tenants_reader(asker: FlaskClient) -> None:
    """A known account reads its own tenant, whatever tenant its headers claim; an unknown one reads nothing."""
    claimed = {"X-Agentfabric-Tenant": "other"}
    known = asker.get("/bill", headers={"Authorization": f"Bearer {token(email=ANALYST)}", **claimed})
    unknown = asker.get("/bill", headers={"Authorization": f"Bearer {token()}", **claimed})
    assert (known.status_code, unknown.status_code) == (200, 403)


@pytest.mark.usefixtures("issuer")
def test_an_operator_among_the_readers(asker: FlaskClient, records: Records) -> None:
    """An account on the operators' list skips a parked number; one that may only read changes nothing."""
    records.park(Entity(name="held").poison(1))
    decision = {"entity": "held", "sequence": 1, "reason": "a bad release"}

    def skip(email: str) -> int:
        headers = {"Authorization": f"Bearer {token(email=email)}"}
        return asker.post("/skip", json=decision, headers=headers).status_code

    assert [skip(ANALYST), len(records.parked("acme"))] == [403, 1]
    assert [skip(OPERATOR), records.parked("acme")] == [200, []]


@pytest.mark.usefixtures("issuer")
def test_an_operator_of_no_tenant(settings: pytest.MonkeyPatch, asker: FlaskClient) -> None:
    """Being an operator names no tenant: who is not among the callers reads and decides nothing."""
    settings.setenv("AGENTFABRIC_CALLERS", "{}")
    headers = {"Authorization": f"Bearer {token(email=OPERATOR)}"}
    assert asker.get("/parked", headers=headers).status_code == 403


@pytest.mark.usefixtures("records")
def test_keys_out_of_reach(issuer: type[_Certs], settings: pytest.MonkeyPatch, root: Path) -> None:
    """While the keys cannot be fetched nobody is admitted and everybody is asked to come again."""
    settings.setenv("AGENTFABRIC_CERTS", "http://127.0.0.1:1/certs")
    assert push(client("record", root), f"Bearer {token()}") == 503
    assert issuer.asked == 0


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize("auth", [None, "", "off"])
def test_nobody_comes_in_by_default(settings: pytest.MonkeyPatch, root: Path, auth: str | None) -> None:
    """A deployment that was told nothing about callers admits nobody and tells nobody why."""
    settings.delenv("AGENTFABRIC_AUTH")
    if auth is not None:
        settings.setenv("AGENTFABRIC_AUTH", auth)
    response = client("record", root).post("/", json=sample())
    assert response.status_code == 500
    assert "AGENTFABRIC" not in response.text
