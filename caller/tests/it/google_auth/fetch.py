"""Prints the ID token that google-auth gets with a key file."""

import sys

from google.auth.transport.requests import Request
from google.oauth2 import service_account

path, audience = sys.argv[1:]
credentials = service_account.IDTokenCredentials.from_service_account_file(path, target_audience=audience)
credentials.refresh(Request())
print(credentials.token)
