"""Serves a JWK set over TLS on a free port, as www.googleapis.com would, until its standard input ends.

Usage: keys_server.py FOLDER NAME ISSUED_BY
Writes the certificate of the authority `trusted` to FOLDER/trusted.pem; its own certificate is for NAME and issued by
ISSUED_BY, `trusted` or another. The first line of standard input is the JWK set; it prints its port.
"""

import datetime
import http.server
import pathlib
import ssl
import sys
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

folder, name, issued_by = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
now = datetime.datetime.now(datetime.timezone.utc)


def certificate(subject, key, issuer, issuer_key, extension):
    def common_name(text):
        return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(
        issuer_name=common_name(issuer),
        subject_name=common_name(subject),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(hours=1),
    )
    return builder.add_extension(extension, critical=True).sign(issuer_key, hashes.SHA256())


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


authorities = {text: ec.generate_private_key(ec.SECP256R1()) for text in {"trusted", issued_by}}
is_authority = x509.BasicConstraints(ca=True, path_length=None)
trusted = certificate("trusted", authorities["trusted"], "trusted", authorities["trusted"], is_authority)
(folder / "trusted.pem").write_bytes(pem(trusted))

key = ec.generate_private_key(ec.SECP256R1())
names = x509.SubjectAlternativeName([x509.DNSName(name)])
own = certificate(name, key, issued_by, authorities[issued_by], names)
private = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
(folder / "own.pem").write_bytes(pem(own) + private)

keys = sys.stdin.readline().encode()


class Keys(http.server.BaseHTTPRequestHandler):
    """Answers the path of Google's keys, and no other."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        is_keys = self.path == "/oauth2/v3/certs" and self.headers["host"] == "www.googleapis.com"
        self.send_response(200 if is_keys else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(keys) if is_keys else 0))
        self.end_headers()
        self.wfile.write(keys if is_keys else b"")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "own.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
