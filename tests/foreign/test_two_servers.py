"""Volumes on two servers, and what whoever may only read, or write in one place only, can do."""

import json
import os
import subprocess
import unittest
import urllib.request

from places import PROGRAM
from stores import BUCKET, Server, scratch

DENIED = 6


def plimsoll(*arguments, keys=("test", "test"), fails=None):
    """Runs the command on a host of its own; what it said."""
    settings = {
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "PLIMSOLL_ALLOW_HTTP": "true",
        "PLIMSOLL_STATE_DIR": scratch("state"),
    }
    done = subprocess.run(
        [PROGRAM, *arguments], env=os.environ | settings, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != (fails or 0):
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done.stderr if fails else done.stdout


class Places:
    """URLs that name their server."""

    def __init__(self, server):
        self.server = server

    def __getitem__(self, name):
        return f"s3://{BUCKET}/{name}?endpoint={self.server.address}&region=us-east-1"


def only(server, name, statements):
    """Credentials that allow this and nothing else, once the server checks any."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | statement for statement in statements]}
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def check_credentials(server, from_request):
    """Has the server check credentials once it has answered so many more requests."""
    address, plain = f"{server.address}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    body = from_request.encode()
    urllib.request.urlopen(urllib.request.Request(address, method="POST", data=body, headers=plain)).close()


class TwoServers(unittest.TestCase):
    def test_a_fork_on_another_server_reads_across_and_stands_by_itself_once_detached(self):
        near, far = Server(), Server()
        here, there = Places(near), Places(far)
        plimsoll("create", here["app"])
        plimsoll("sql", here["app"], "CREATE TABLE t(v); INSERT INTO t VALUES ('parent')")
        plimsoll("fork", here["app"], there["fork"])
        self.assertIn("parent", plimsoll("sql", there["fork"], "SELECT v FROM t"))
        plimsoll("sql", there["fork"], "INSERT INTO t VALUES ('fork')")
        self.assertNotIn("fork", plimsoll("sql", here["app"], "SELECT v FROM t"))
        self.assertIn(far.address, plimsoll("rm", here["app"], fails=3))
        plimsoll("detach", there["fork"])
        self.assertEqual(json.loads(plimsoll("--json", "du", here["app"]))["pinned"], 0)
        near.stop()
        self.assertIn("parent", plimsoll("sql", there["fork"], "SELECT v FROM t"))
        plimsoll("verify", there["fork"])

    def test_credentials_that_may_only_read_are_enough_to_read_and_change_nothing(self):
        server = Server()
        here = Places(server)
        plimsoll("create", here["app"])
        plimsoll("sql", here["app"], "CREATE TABLE t(v); INSERT INTO t VALUES ('kept')")
        reader = only(server, "reader", [{"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}])
        before = server.keys()
        check_credentials(server, "0")
        self.assertIn("kept", plimsoll("sql", "--read-only", here["app"], "SELECT v FROM t", keys=reader))
        txid = json.loads(plimsoll("--json", "status", here["app"], keys=reader))["txid"]
        past = here["app"].replace("?", f"@{txid}?")
        self.assertIn("kept", plimsoll("sql", past, "SELECT v FROM t", keys=reader))
        for command in ["status", "verify", "du"]:
            plimsoll(command, here["app"], keys=reader)
        plimsoll("export", here["app"], scratch("copy.db"), keys=reader)
        for command in [["sql", here["app"], "DELETE FROM t"], ["checkpoint", "create", here["app"], "mine"]]:
            self.assertIn("403", plimsoll(*command, keys=reader, fails=DENIED))
        check_credentials(server, "inf")
        self.assertEqual(server.keys(), before)

    def test_a_fork_that_may_not_be_made_where_it_was_to_be_leaves_nothing_behind_or_says_what(self):
        server = Server()
        here = Places(server)
        plimsoll("create", here["app"])
        plimsoll("sql", here["app"], "CREATE TABLE t(v); INSERT INTO t VALUES ('kept')")
        parts = [
            {"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"},
            {"Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/app/*"},
            # Moto asks for the bucket where S3 asks for each object that is to be deleted.
            {"Action": "s3:DeleteObject", "Resource": "*"},
        ]
        owner = only(server, "owner", parts)
        keeper = only(server, "keeper", [parts[0], {"Action": "s3:PutObject", "Resource": parts[1]["Resource"]}])
        before = server.keys()
        check_credentials(server, "0")
        said = plimsoll("fork", here["app"], here["fork"], keys=owner, fails=DENIED)
        self.assertIn("fork/volume.json", said)
        self.assertNotIn("still kept", said)
        check_credentials(server, "inf")
        self.assertEqual(server.keys(), before)
        # Who may not delete anything leaves what has to be removed, and says so.
        check_credentials(server, "0")
        said = plimsoll("fork", here["app"], here["fork"], keys=keeper, fails=DENIED)
        check_credentials(server, "inf")
        self.assertIn("still kept for it: plimsoll checkpoint rm", said)
        plimsoll("checkpoint", "rm", here["app"], said.split()[-1].rstrip(")"))
        self.assertEqual(server.keys(), before)
