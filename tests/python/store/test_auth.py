"""Who may call at all: signatures, keys, clocks. Written by hand, because the
SDK only makes requests that are right."""

import datetime
import hashlib
import hmac
import http.client
import json
import os
import socket
import subprocess
import types
import urllib.parse

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import KEYS, REGION, URL, make_client, refused

pytestmark = pytest.mark.pgvalet
TARGET = "secretsmanager.ListSecrets"


def prepared(body=b"{}", key="admin", signer=SigV4Auth, service="secretsmanager", **headers):
    keys = KEYS[key]
    headers = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1", **headers}
    request = AWSRequest("POST", URL + "/", data=body, headers=headers)
    credentials = Credentials(keys["access_key_id"], keys["secret_access_key"])
    signer(credentials, service, REGION).add_auth(request)
    return request.prepare()


def send(request, body=None, **headers):
    url = urllib.parse.urlsplit(request.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    given = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
    given |= headers
    given = {k: v for k, v in given.items() if v is not None}
    path = url.path + ("?" + url.query if url.query else "")
    connection.request(request.method, path, request.body if body is None else body, given)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def kind(answer):
    status, body = answer
    return status, body.get("__type")


def test_signed():
    """(all): a request signed by hand is answered"""
    status, body = send(prepared())
    assert status == 200 and "SecretList" in body


def test_unsigned():
    """(all): without a signature: MissingAuthenticationTokenException"""
    assert kind(send(prepared(), Authorization=None)) == (400, "MissingAuthenticationTokenException")


def test_changed_body():
    """(all): a body that was changed under way: InvalidSignatureException"""
    assert kind(send(prepared(), body=b'{"MaxResults":5}')) == (400, "InvalidSignatureException")


def test_claimed_hash():
    """(all): the hash that a request claims for its body counts for nothing"""
    request = prepared(**{"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert kind(send(request, body=b'{"MaxResults":5}')) == (400, "InvalidSignatureException")


def test_changed_operation():
    """(all): another operation than was signed: InvalidSignatureException"""
    answer = send(prepared(), **{"X-Amz-Target": "secretsmanager.DeleteSecret"})
    assert kind(answer) == (400, "InvalidSignatureException")


def test_changed_host():
    """(all): a request for another host: InvalidSignatureException"""
    assert kind(send(prepared(), Host="store.example")) == (400, "InvalidSignatureException")


def test_target_not_signed():
    """(all): host, x-amz-date and x-amz-target have to be signed"""
    request = prepared()
    for name in ("host", "x-amz-date", "x-amz-target"):
        authorization = request.headers["Authorization"]
        if isinstance(authorization, bytes):
            authorization = authorization.decode()
        parts = authorization.split("SignedHeaders=")
        names, rest = parts[1].split(",", 1)
        left = ";".join(n for n in names.split(";") if n != name)
        answer = send(request, Authorization=f"{parts[0]}SignedHeaders={left},{rest}")
        assert kind(answer) == (400, "InvalidSignatureException") and name in answer[1]["message"]


def test_unknown_key():
    """(all): an unknown access key: UnrecognizedClientException"""
    for wrong in (
        dict(KEYS["admin"], access_key_id="AKIAAAAAAAAAAAAAAAAA"),
        dict(KEYS["admin"], access_key_id="AKIA' OR '1'='1"),
    ):
        client = boto3.client(
            "secretsmanager",
            region_name=REGION,
            endpoint_url=URL,
            aws_access_key_id=wrong["access_key_id"],
            aws_secret_access_key=wrong["secret_access_key"],
        )
        with refused("UnrecognizedClientException"):
            client.list_secrets()


def test_wrong_secret_key():
    """(all): the wrong secret key: InvalidSignatureException"""
    with refused("InvalidSignatureException", "does not match"):
        make_client(aws_secret_access_key="x" * 40).list_secrets()


def test_session_token():
    """(all): there are no sessions: a session token is refused"""
    with refused("UnrecognizedClientException"):
        make_client(aws_session_token="t" * 100).list_secrets()


def test_other_service():
    """(all): a signature for another service: InvalidSignatureException"""
    assert kind(send(prepared(service="s3"))) == (400, "InvalidSignatureException")


@pytest.mark.parametrize("minutes, good", [(-4, True), (4, True), (-6, False), (6, False)])
def test_clock(monkeypatch, minutes, good):
    """(all): clocks may be five minutes apart, not more"""
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(minutes=minutes)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *a, **k: now)
    answer = send(prepared())
    assert kind(answer) == ((200, None) if good else (400, "InvalidSignatureException"))


def presigned(body=b"{}", seconds=60, age=0):
    """By hand: botocore moves the body of a presigned request into its query."""
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age)
    date = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date[:8]}/{REGION}/secretsmanager/aws4_request"
    headers = {"Host": urllib.parse.urlsplit(URL).netloc, "X-Amz-Target": TARGET}
    query = "&".join(
        f"{name}={urllib.parse.quote(value, safe='')}"
        for name, value in (
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{KEYS['admin']['access_key_id']}/{scope}"),
            ("X-Amz-Date", date),
            ("X-Amz-Expires", str(seconds)),
            ("X-Amz-SignedHeaders", "host;x-amz-target"),
        )
    )
    lines = ["POST", "/", query, f"host:{headers['Host']}", f"x-amz-target:{TARGET}", "", "host;x-amz-target"]
    canonical = "\n".join([*lines, hashlib.sha256(body).hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + KEYS["admin"]["secret_access_key"]).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    url = f"{URL}/?{query}&X-Amz-Signature={signature}"
    return types.SimpleNamespace(method="POST", url=url, headers=headers, body=body)


def test_presigned():
    """(all): a presigned request is valid for the time that it names, and only for its body"""
    assert kind(send(presigned()))[0] == 200
    assert kind(send(presigned(), body=b'{"MaxResults":5}')) == (400, "InvalidSignatureException")
    assert kind(send(presigned(age=600, seconds=700)))[0] == 200
    assert kind(send(presigned(age=70))) == (400, "InvalidSignatureException")
    assert kind(send(presigned(seconds=604801))) == (400, "IncompleteSignatureException")


def test_unknown_operation():
    """(all): an unknown operation: UnknownOperationException"""
    for target in ("secretsmanager.Nothing", "kms.Decrypt", ""):
        assert kind(send(prepared(**{"X-Amz-Target": target}))) == (400, "UnknownOperationException")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"MaxResults":"hunter2"}', b"\xff", b'{"MaxResults":1}x'])
def test_malformed(body):
    """(all): what is not the JSON of the operation: SerializationException, which quotes nothing"""
    answer = send(prepared(body))
    assert kind(answer) == (400, "SerializationException")
    assert "hunter2" not in str(answer)


def test_too_large():
    """(all): more than 1 MiB is not read"""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(URL).netloc, timeout=10)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", str(1024 * 1024 + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_null_is_absent():
    """(all): fields that are null are as good as absent; unknown ones are passed over"""
    assert kind(send(prepared(b'{"MaxResults":null,"Filters":null,"New":{"a":[1]}}')))[0] == 200


def test_required(client):
    """(all): a required field that is missing: ValidationException, which names it"""
    model = client.meta.service_model
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        if "SecretId" not in shape.required_members:
            continue
        status, body = send(prepared(**{"X-Amz-Target": f"secretsmanager.{name}"}))
        assert (status, body["__type"]) == (400, "ValidationException"), name
        assert "'secretId'" in body["message"] and "must not be null" in body["message"], name


def test_no_token(client, name):
    """(all): what makes a version needs a ClientRequestToken"""
    body = json.dumps({"Name": name, "SecretString": "v"}).encode()
    answer = send(prepared(body, **{"X-Amz-Target": "secretsmanager.CreateSecret"}))
    assert kind(answer) == (400, "InvalidRequestException")


def test_errors_at_once(client):
    """(all): everything that the service model rules out is told at once"""
    body = json.dumps({"SecretId": "", "VersionId": "short"}).encode()
    status, answer = send(prepared(body, **{"X-Amz-Target": "secretsmanager.GetSecretValue"}))
    assert answer["message"].startswith("2 validation errors detected: ")


def test_silence():
    """(all): silent connections do not keep others from being served"""
    url = urllib.parse.urlsplit(URL)
    silent = [socket.create_connection((url.hostname, url.port)) for _ in range(50)]
    assert kind(send(prepared()))[0] == 200
    for connection in silent:
        connection.close()


def pgvalet(*arguments):
    command = [os.environ["PGVALET"], "--config", os.environ["STORE_CONFIG"], "store", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_disabled(tmp_path):
    """(all): the keys of a disabled principal are not recognised, until it is enabled"""
    policy = tmp_path / "p.json"
    policy.write_text(json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))
    KEYS["temporary"] = json.loads(pgvalet("principal", "add", "temporary", "--policy", str(policy), "--json"))
    client = make_client("temporary")
    client.list_secrets()
    pgvalet("principal", "disable", "temporary")
    with refused("UnrecognizedClientException"):
        client.list_secrets()
    pgvalet("principal", "enable", "temporary")
    client.list_secrets()


def test_rotated_key(tmp_path):
    """(all): a replaced key ends at once, or after --overlap"""
    policy = tmp_path / "p.json"
    policy.write_text(json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))
    KEYS["first"] = json.loads(pgvalet("principal", "add", "rotating", "--policy", str(policy), "--json"))
    KEYS["second"] = json.loads(pgvalet("principal", "rotate-key", "rotating", "--overlap", "1h", "--json"))
    for key in ("first", "second"):
        make_client(key).list_secrets()
    KEYS["third"] = json.loads(pgvalet("principal", "rotate-key", "rotating", "--json"))
    make_client("third").list_secrets()
    for key in ("first", "second"):
        with refused("UnrecognizedClientException"):
            make_client(key).list_secrets()
    listed = json.loads(pgvalet("principal", "list", "--json"))["principals"]
    keys = {p["name"]: [k["access_key_id"] for k in p["access_keys"]] for p in listed}
    assert keys["rotating"] == [KEYS["third"]["access_key_id"]]
    assert KEYS["third"]["secret_access_key"] not in pgvalet("principal", "list")
