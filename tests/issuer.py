"""An issuer of JSON Web Tokens: keys of several kinds, what is signed with them, and what is forged without."""

import base64
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://login.example.com/", "raygate"
RSA = rsa.generate_private_key(65537, 2048)
STRANGER = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def published(**keys: PrivateKeyTypes) -> bytes:
    """Return a JWKS with the public half of each key, by its id."""
    kinds: dict[type, Any] = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    found = []
    for name, key in keys.items():
        algorithm = next(algorithm for kind, algorithm in kinds.items() if isinstance(key, kind))
        found.append({**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"})
    return json.dumps({"keys": found}).encode()


def token(key: Any = RSA, algorithm: str = "RS256", key_id: str | None = "rsa", **claims: Any) -> str:
    """Return what the issuer would sign, changed by the claims; one that is ``None`` is left out."""
    fields = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": time.time() + 60, **claims}
    given = {name: value for name, value in fields.items() if value is not None}
    return jwt.encode(given, key, algorithm, headers={"kid": key_id} if key_id else None)


def unsigned() -> str:
    """A token that says it needs no signature."""
    _, body, _ = token().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"rsa"}').decode().rstrip("=")
    return f"{none}.{body}."


def confused() -> str:
    """A token signed with HMAC, and the issuer's public key for its secret."""
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa"}').decode().rstrip("=")
    signed = f"{head}.{token().split('.')[1]}"
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def altered() -> str:
    """A token whose claims were changed after it was signed."""
    head, body, signature = token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "root"}).encode()).decode().rstrip("=")
    return f"{head}.{forged}.{signature}"
