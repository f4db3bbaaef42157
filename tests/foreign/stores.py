"""Volumes to test with: on a local directory, and on an S3 server that runs as long as the tests."""

import atexit
import copy
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from urllib.parse import urlencode

from places import ROOT

KINDS = ("file", "s3")
BUCKET = "harbour"

SCRATCH = tempfile.mkdtemp(prefix="plimsoll-foreign-")
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

# Neither this process nor those that it starts see settings but those of a test.
for _name in [name for name in os.environ if name.startswith(("PLIMSOLL_", "AWS_"))]:
    del os.environ[_name]
os.environ |= {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "PLIMSOLL_CONFIG": "",
    "PLIMSOLL_TEST_ANY_RETENTION": "1",
    "PLIMSOLL_STATE_DIR": os.path.join(SCRATCH, "state"),
}

_numbers = itertools.count(1)
_endpoint = None


def scratch(name):
    """A path in a folder that goes when the tests end."""
    return os.path.join(SCRATCH, f"{next(_numbers)}-{name}")


def scratch_dir():
    """A new folder that goes when the tests end."""
    path = scratch("dir")
    os.mkdir(path)
    return path


def endpoint():
    """The address of the S3 server. Starts it on first use."""
    global _endpoint
    if _endpoint is None:
        _endpoint = _start_moto()
    return _endpoint


def _start_moto():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [ROOT / "tools/moto_server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(server.kill)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            request = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
            urllib.request.urlopen(request).close()
            return address
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("moto_server does not answer") from None
            time.sleep(0.05)


class Volume:
    """A URL that no other test uses, with what opens it."""

    def __init__(self, kind, name="db"):
        self.kind = kind
        if kind == "file":
            self.path = scratch(name)
            self.url = f"file://{self.path}"
            self.settings = {}
        else:
            self.path = f"{next(_numbers)}/{name}"
            self.url = f"s3://{BUCKET}/{self.path}"
            self.settings = {"endpoint": endpoint(), "region": "us-east-1", "allow_http": "true"}

    def uri(self, mode=None, **settings):
        """The name under which SQLite opens it. Settings of the test go before those of the store."""
        parameters = {"vfs": "plimsoll"} | ({"mode": mode} if mode else {}) | self.settings | settings
        return f"file:{self.url}?{urlencode(parameters)}"

    def sibling(self, suffix):
        """The volume whose URL is this one's with something behind it."""
        other = copy.copy(self)
        other.path, other.url = self.path + suffix, self.url + suffix
        return other

    def name(self):
        """The name for programs that know no URIs: settings are part of it."""
        return self.url + (f"?{urlencode(self.settings)}" if self.settings else "")

    def elsewhere(self, **settings):
        """The same as another host would open it: nothing local is known there."""
        return self.uri(state_dir=scratch("state"), **settings)

    def litestream_url(self):
        if self.kind == "file":
            return self.url
        return f"{self.url}?endpoint={endpoint()}&region=us-east-1&forcePathStyle=true"

    def sets(self):
        """The same settings for the command line."""
        return [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]

    def objects(self):
        """The keys below the URL, relative to it."""
        if self.kind == "file":
            found = (os.path.join(at, name) for at, _, names in os.walk(self.path) for name in names)
            return sorted(os.path.relpath(path, self.path) for path in found)
        client = s3()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.path}/")
        return sorted(entry["Key"][len(self.path) + 1 :] for page in pages for entry in page.get("Contents", []))

    def levels(self):
        """How many files each level has."""
        counts = {}
        for key in self.objects():
            if key.endswith(".ltx"):
                level = int(key.split("/")[-2], 16)
                counts[level] = counts.get(level, 0) + 1
        return counts


def s3():
    """A client of the S3 server."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint(),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )

