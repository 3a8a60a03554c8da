"""The keys of an emulator over TLS, under a name that DNS alone knows: a name server and an HTTPS server in one.

Usage: key_server.py DNS_ADDRESS NAME CERTIFICATE KEY KEYS_URL
Prints the HTTPS server's port, then a line for each question that the name server answers and each fetch.
"""

import http.server
import socketserver
import ssl
import struct
import sys
import threading
import urllib.request

dns_address, name, certificate, key, keys_url = sys.argv[1:]


def question_of(packet):
    """The name and type that a query asks for, and where its question ends (RFC 1035, section 4.1.2)."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii"))
        at += 1 + packet[at]
    (kind,) = struct.unpack_from("!H", packet, at + 1)
    return ".".join(labels).lower(), kind, at + 5


class Names(socketserver.BaseRequestHandler):
    """Knows one name, which has one IPv4 address: loopback."""

    def handle(self):
        packet, socket = self.request
        asked, kind, end = question_of(packet)
        is_known, has_address = asked == name, asked == name and kind == 1
        # A response, recursion available; NOERROR or NXDOMAIN.
        flags = 0x8180 if is_known else 0x8183
        answer = packet[:2] + struct.pack("!HHHHH", flags, 1, has_address, 0, 0) + packet[12:end]
        if has_address:
            # The name by pointer, type A, class IN, a minute, four bytes.
            answer += struct.pack("!HHHIH4B", 0xC00C, 1, 1, 60, 4, 127, 0, 0, 1)
        socket.sendto(answer, self.client_address)
        print(f"asked for {asked}, type {kind}", flush=True)


class Keys(http.server.BaseHTTPRequestHandler):
    """Passes the emulator's answer on, with what it says of how long that keeps."""

    def do_GET(self):
        with urllib.request.urlopen(keys_url) as answer:
            keys, keeps = answer.read(), answer.headers["Cache-Control"]
        self.send_response(200)
        self.send_header("Cache-Control", keeps)
        self.send_header("Content-Length", str(len(keys)))
        self.end_headers()
        self.wfile.write(keys)
        print(f"fetched from {self.headers['Host']}", flush=True)

    def log_message(self, *_):
        pass


names = socketserver.UDPServer((dns_address, 53), Names)
threading.Thread(target=names.serve_forever, daemon=True).start()
keys = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
keys.socket = tls.wrap_socket(keys.socket, server_side=True)
print(keys.server_address[1], flush=True)
keys.serve_forever()
