"""Volumes to test with: on a local directory, and on servers that run as long as the tests."""

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

import azurite
from places import ROOT

# What every test with a store of its own runs on. There is also "az".
KINDS = ("file", "s3")
BUCKET = "harbour"

# Another S3 server than moto, which has the bucket: its address, or those of two gateways to the same store.
_GIVEN = os.environ.get("PLIMSOLL_TEST_S3_ENDPOINT", "").split()

SCRATCH = tempfile.mkdtemp(prefix="plimsoll-foreign-")
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

# Neither this process nor those that it starts see settings but those of a test.
for _name in [name for name in os.environ if name.startswith(("PLIMSOLL_", "AWS_"))]:
    del os.environ[_name]
os.environ |= {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AZURE_STORAGE_ACCOUNT_NAME": azurite.ACCOUNT,
    "AZURE_STORAGE_ACCOUNT_KEY": azurite.KEY,
    "PLIMSOLL_CONFIG": "",
    "PLIMSOLL_TEST_ANY_RETENTION": "1",
    "PLIMSOLL_STATE_DIR": os.path.join(SCRATCH, "state"),
}

_numbers = itertools.count(1)
_addresses = {}
# On a server that was there before, others may have been as well.
_RUN = f"{os.getpid()}-{time.time_ns()}"


def scratch(name):
    """A path in a folder that goes when the tests end."""
    return os.path.join(SCRATCH, f"{next(_numbers)}-{name}")


def scratch_dir():
    """A new folder that goes when the tests end."""
    path = scratch("dir")
    os.mkdir(path)
    return path


def endpoint(kind="s3"):
    """The address of a server. Starts it on first use."""
    if kind not in _addresses:
        starts = {"s3": lambda: _GIVEN[0] if _GIVEN else Server().address, "az": lambda: azurite.start(_free_port(), BUCKET)}
        _addresses[kind] = starts[kind]()
    return _addresses[kind]


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """An S3 server of moto's with one bucket, until it is stopped or the tests end."""

    def __init__(self):
        port = _free_port()
        self._process = subprocess.Popen(
            [ROOT / "tools/moto_server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self._process.kill)
        self.address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                request = urllib.request.Request(f"{self.address}/{BUCKET}", method="PUT")
                urllib.request.urlopen(request).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("moto_server does not answer") from None
                time.sleep(0.05)

    def stop(self):
        self._process.kill()
        self._process.wait()

    def client(self, service="s3"):
        return client_of(self.address, service)

    def keys(self):
        """The names of all objects."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))


class Volume:
    """A URL that no other test uses, with what opens it."""

    def __init__(self, kind, name="db"):
        self.kind = kind
        if kind == "file":
            self.path = scratch(name)
            self.url = f"file://{self.path}"
            self.settings = {}
        else:
            self.path = f"{_RUN}/{next(_numbers)}/{name}"
            self.url = f"{kind}://{BUCKET}/{self.path}"
            self.settings = {"endpoint": endpoint(kind), "allow_http": "true"}
            if kind == "s3":
                self.settings["region"] = "us-east-1"

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
        return self.uri(state_dir=scratch("state"), **self._other_way(), **settings)

    def _other_way(self):
        """Another host may use another gateway."""
        return {"endpoint": _GIVEN[-1]} if self.kind == "s3" and _GIVEN else {}

    def litestream_url(self):
        if self.kind == "file":
            return self.url
        return f"{self.url}?endpoint={endpoint()}&region=us-east-1&forcePathStyle=true"

    def sets(self):
        """The same settings for the command line."""
        return [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]

    def sizes(self):
        """How many bytes each object below the URL has, by its key relative to it."""
        if self.kind == "file":
            found = [os.path.join(at, name) for at, _, names in os.walk(self.path) for name in names]
            return {os.path.relpath(path, self.path): os.path.getsize(path) for path in found}
        client = s3()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.path}/")
        entries = (entry for page in pages for entry in page.get("Contents", []))
        return {entry["Key"][len(self.path) + 1 :]: entry["Size"] for entry in entries}

    def objects(self):
        """The keys below the URL, relative to it."""
        return sorted(self.sizes())

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
    return client_of(endpoint(), "s3")


def client_of(address, service):
    import boto3

    return boto3.client(
        service,
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
