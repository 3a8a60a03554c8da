"""What google-auth makes of each token on standard input, one line each: accepted, or refused and why."""

import sys

from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token

certs_url, audience = sys.argv[1:]
for line in sys.stdin:
    try:
        id_token.verify_token(line.rstrip("\n"), Request(), audience=audience, certs_url=certs_url)
        print("accepted")
    except (exceptions.GoogleAuthError, ValueError, TypeError, KeyError, AttributeError) as error:
        print("refused", type(error).__name__)
