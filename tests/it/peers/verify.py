"""Verifies the token on standard input with google-auth; prints its email, or exits 1 where it is refused."""

import sys

import jwt
from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token

certs_url, audience = sys.argv[1:]
try:
    claims = id_token.verify_token(sys.stdin.read().strip(), Request(), audience, certs_url)
except (ValueError, exceptions.GoogleAuthError, jwt.PyJWTError) as fault:
    # Without its text, which may hold the token.
    sys.exit(f"refused: {type(fault).__name__}")
print(claims["email"])
