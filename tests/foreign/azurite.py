"""Azurite, Microsoft's stand-in for its own object store, for as long as the tests run."""

import atexit
import base64
import email.utils
import hashlib
import hmac
import subprocess
import time
import urllib.error
import urllib.request

from places import NODE_PACKAGES

# Its account and key are the same everywhere, and documented.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2023-11-03"


def start(port, container):
    """Starts it with an empty container, and returns the address of the account."""
    program = NODE_PACKAGES / "node_modules/azurite/dist/src/blob/main.js"
    options = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort", str(port)]
    server = subprocess.Popen(["node", program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(server.kill)
    address = f"http://127.0.0.1:{port}/{ACCOUNT}"
    deadline = time.monotonic() + 120
    while True:
        try:
            _create(address, container)
            return address
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"azurite: {error}: {error.read()[:500]}") from None
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("azurite does not answer") from None
            time.sleep(0.05)


def _create(address, container):
    """Creates a container. A request of this kind has to be signed."""
    date = email.utils.formatdate(usegmt=True)
    headers = f"x-ms-date:{date}\nx-ms-version:{_VERSION}\n"
    signed = "PUT" + "\n" * 12 + headers + f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)).decode()
    request = urllib.request.Request(f"{address}/{container}?restype=container", method="PUT")
    for line in headers.splitlines():
        request.add_header(*line.split(":", 1))
    request.add_header("Authorization", f"SharedKey {ACCOUNT}:{signature}")
    urllib.request.urlopen(request).close()
