"""The identity provider of the stack: `python -m local.stack.identity PORT KEY_FILE`.

GET /token?tenant=acme&sub=ann answers with a signed token. It vouches for anybody, so it listens on loopback only;
what checks its tokens does so as it would with any other provider's: discovery document, key set, RS256.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "agentfabric"
_KEY_ID = "local-1"
_KEY_BITS = 2048
_VALID_SECONDS = 12 * 3600
_SKEW_SECONDS = 5
_CLAIMS = {"tenant": "local", "sub": "local-user"}


class Identity:
    """Signs tokens as `issuer`."""

    def __init__(self, issuer: str, key: rsa.RSAPrivateKey) -> None:
        self._issuer = issuer
        self._key = key

    def answer(self, path: str, query: str) -> tuple[str, str] | None:
        """Return the media type and text of a document, None when there is none at this path."""
        match path:
            case "/.well-known/openid-configuration":
                return "application/json", json.dumps(self._discovery())
            case "/jwks":
                return "application/json", json.dumps({"keys": [self._public()]})
            case "/token":
                return "text/plain", self.token(**dict(parse_qsl(query)))
        return None

    def token(self, **claims: str) -> str:
        """Return a token with these claims besides the usual ones."""
        now = int(time.time())
        standard = {"iss": self._issuer, "aud": AUDIENCE, "iat": now - _SKEW_SECONDS, "exp": now + _VALID_SECONDS}
        head = _encoded({"alg": "RS256", "typ": "JWT", "kid": _KEY_ID})
        signed = f"{head}.{_encoded({**_CLAIMS, **claims, **standard})}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self._issuer,
            "jwks_uri": f"{self._issuer}/jwks",
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        }

    def _public(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        shown = {"n": numbers.n, "e": numbers.e}
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID} | {
            name: _base64(number.to_bytes((number.bit_length() + 7) // 8, "big")) for name, number in shown.items()
        }


def key_in(file: Path) -> rsa.RSAPrivateKey:
    """Return the key kept in a file, made when there is none: who checks tokens may remember its public half."""
    if not file.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        text = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(text)
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{file} holds no RSA key")
    return key


def handler(identity: Identity) -> type[BaseHTTPRequestHandler]:
    """Return a handler that answers for the identity provider."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found = identity.answer(parts.path, parts.query)
            kind, text = found or ("text/plain", "nothing here; there are /token, /jwks and the discovery document")
            body = text.encode()
            self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say what was asked without the query: it names people."""
            self.log_message("%s %s %s %s", self.command, urlsplit(self.path).path, code, size)

    return Handler


def main() -> None:
    """Serve until stopped."""
    port, file = int(sys.argv[1]), Path(sys.argv[2])
    identity = Identity(f"http://127.0.0.1:{port}", key_in(file))
    ThreadingHTTPServer(("127.0.0.1", port), handler(identity)).serve_forever()


def _encoded(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


if __name__ == "__main__":
    main()
