"""A server whose certificate only those trust who were told of it."""

import asyncio
import contextlib
import datetime
import ipaddress
import os
import ssl
import subprocess
import threading
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ours import large_database
from places import PROGRAM
from stores import BUCKET, Server, scratch

UNAVAILABLE = 6


def certificate():
    """The path of a certificate for this host, with its key, which it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of the tests")])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(here, critical=False).sign(key, hashes.SHA256())
    path = scratch("certificate.pem")
    with open(path, "wb") as file:
        file.write(signed.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return path


class Encrypted:
    """Listens with that certificate, and hands what it hears to a server."""

    def __init__(self, server, path):
        self._host, self._port = server.address.removeprefix("http://").split(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        listener = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        self.address = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    async def _serve(self, near_reader, near_writer):
        far_reader, far_writer = await asyncio.open_connection(self._host, int(self._port))
        await asyncio.gather(self._copy(near_reader, far_writer), self._copy(far_reader, near_writer))

    @staticmethod
    async def _copy(source, to):
        # Whichever side goes, the other one is told, and nobody needs to know more.
        with contextlib.suppress(OSError):
            while chunk := await source.read(1 << 16):
                to.write(chunk)
                await to.drain()
        to.close()


class Certificates(unittest.TestCase):
    def test_a_certificate_is_trusted_once_the_environment_names_it_also_where_much_is_sent_at_once(self):
        path = certificate()
        server = Encrypted(Server(), path)
        url = f"s3://{BUCKET}/app?endpoint={server.address}&region=us-east-1"

        def plimsoll(*arguments, **variables):
            settings = os.environ | {"PLIMSOLL_STATE_DIR": scratch("state")} | variables
            return subprocess.run([PROGRAM, *arguments], env=settings, capture_output=True, text=True, timeout=300, check=False)

        refused = plimsoll("create", url)
        self.assertEqual(refused.returncode, UNAVAILABLE, refused.stderr)
        self.assertIn("certificate", refused.stderr)
        done = plimsoll("import", large_database(), url, AWS_CA_BUNDLE=path)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = plimsoll("verify", url, AWS_CA_BUNDLE=path)
        self.assertEqual(done.returncode, 0, done.stderr)
