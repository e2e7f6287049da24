"""May the caller do it: policies of principals and of secrets; and the trail."""

import json
import os
import time
import uuid

import pytest
from conftest import KEYS, MODEL, REGION, make_client, refused, token

pytestmark = pytest.mark.pgvalet
# What the principals may do is in tests/behaviour/store/api.rs: `nobody` nothing,
# `reader` what is under `shared/`.


@pytest.fixture(scope="module")
def nobody():
    return make_client("nobody")


@pytest.fixture(scope="module")
def reader():
    return make_client("reader")


def smallest(shape, secret):
    """The least that the model wants of a request."""
    given = {"SecretId": secret, "SecretString": "v", "Name": secret, "VersionStage": "blue"}
    request = {}
    for name in shape.required_members:
        member = shape.members[name]
        request[name] = given.get(name) or {
            "list": lambda: [{"Key": "k", "Value": "v"} if member.member.type_name == "structure" else "us-east-1"],
            "string": lambda: secret.ljust(20, "x"),
        }[member.type_name]()
    return request


@pytest.mark.parametrize("operation", MODEL.operation_names)
def test_denied(nobody, secret, operation):
    """(all): without a statement that allows it, AccessDeniedException, whatever the operation"""
    shape = MODEL.operation_model(operation).input_shape
    request = smallest(shape, secret["Name"])
    if operation == "CreateSecret":
        request["Name"] += "-new"
    if operation == "ReplicateSecretToRegions":
        request["AddReplicaRegions"] = [{"Region": "us-east-1"}]
    if operation == "BatchGetSecretValue":
        request["SecretIdList"] = [secret["Name"]]
    from botocore import xform_name

    with refused("AccessDeniedException", f"secretsmanager:{operation}", "user/nobody"):
        getattr(nobody, xform_name(operation))(**request)


def test_denied_does_not_tell(nobody, secret, name):
    """(all): a denied caller gets the same answer whether or not the secret exists"""
    texts = []
    for id in (secret["Name"], name + "/none"):
        with pytest.raises(nobody.exceptions.ClientError) as error:
            nobody.describe_secret(SecretId=id)
        texts.append(error.value.response["Error"]["Code"])
    assert texts == ["AccessDeniedException"] * 2


def test_resource(client, reader, name):
    """(all): a policy of a principal reaches the secrets that its Resource names"""
    for prefix in ("shared", "private"):
        client.create_secret(Name=f"{prefix}/{name}", SecretString=prefix)
    assert reader.get_secret_value(SecretId=f"shared/{name}")["SecretString"] == "shared"
    with refused("AccessDeniedException"):
        reader.get_secret_value(SecretId=f"private/{name}")
    with refused("AccessDeniedException"):
        reader.put_secret_value(SecretId=f"shared/{name}", SecretString="v")
    with refused("ResourceNotFoundException"):
        reader.get_secret_value(SecretId=f"shared/{name}/none")


def test_conditions(client, reader, name):
    """(all): conditions can use keys of the request, the secret, the principal and the connection"""
    made = client.create_secret(Name=f"conditions/{name}", SecretString="v", Tags=[{"Key": "team", "Value": "blue"}])
    id = made["Name"]
    good = [
        {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}},
        {"StringEquals": {"secretsmanager:ResourceTag/team": "${aws:PrincipalTag/team}"}},
        {"StringEquals": {"aws:ResourceTag/team": "blue"}},
        {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
        {"Bool": {"aws:SecureTransport": "false"}},
        {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/reader"}},
        {"StringEquals": {"secretsmanager:SecretId": id}},
    ]
    bad = [
        {"StringEquals": {"secretsmanager:VersionStage": "AWSPREVIOUS"}},
        {"StringEquals": {"aws:ResourceTag/team": "green"}},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"Bool": {"aws:SecureTransport": "true"}},
        {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
        {"StringEquals": {"secretsmanager:VersionId": "x"}},
    ]
    for condition, allowed in [(c, True) for c in good] + [(c, False) for c in bad]:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::000000000000:user/reader"},
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
            "Condition": condition,
        }
        client.put_resource_policy(SecretId=id, ResourcePolicy=policy(statement))
        if allowed:
            assert reader.get_secret_value(SecretId=id)["SecretString"] == "v", condition
        else:
            with refused("AccessDeniedException"):
                reader.get_secret_value(SecretId=id)


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


READER = {
    "Sid": "r",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::000000000000:user/reader"},
    "Action": "secretsmanager:GetSecretValue",
    "Resource": "*",
}


def test_resource_policy(client, reader, secret):
    """PutResourcePolicy: grants on one secret what the principal's own policy does not"""
    with refused("AccessDeniedException"):
        reader.get_secret_value(SecretId=secret["Name"])
    answer = client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=policy(READER))
    assert (answer["ARN"], answer["Name"]) == (secret["ARN"], secret["Name"])
    assert reader.get_secret_value(SecretId=secret["Name"])["SecretString"] == "one"


def test_resource_policy_denies(client, reader, name):
    """PutResourcePolicy: an explicit Deny wins over every Allow"""
    id = f"shared/{name}"
    client.create_secret(Name=id, SecretString="v")
    reader.get_secret_value(SecretId=id)
    client.put_resource_policy(SecretId=id, ResourcePolicy=policy(dict(READER, Effect="Deny")))
    with refused("AccessDeniedException", "explicit deny in a resource-based policy"):
        reader.get_secret_value(SecretId=id)


def test_get_resource_policy(client, secret):
    """GetResourcePolicy: returns the text that was put, and none if there is none"""
    assert "ResourcePolicy" not in client.get_resource_policy(SecretId=secret["Name"])
    client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=policy(READER))
    assert client.get_resource_policy(SecretId=secret["Name"])["ResourcePolicy"] == policy(READER)


def test_delete_resource_policy(client, reader, secret):
    """DeleteResourcePolicy: removes the policy"""
    client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=policy(READER))
    client.delete_resource_policy(SecretId=secret["Name"])
    assert "ResourcePolicy" not in client.get_resource_policy(SecretId=secret["Name"])
    with refused("AccessDeniedException"):
        reader.get_secret_value(SecretId=secret["Name"])


def test_list_resource_policies(client, secret):
    """ListResourcePolicies: `default`, or none"""
    assert client.list_resource_policies(SecretId=secret["Name"])["ResourcePolicies"] == []
    client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=policy(READER))
    listed = client.list_resource_policies(SecretId=secret["Name"])["ResourcePolicies"]
    assert listed == [{"PolicyName": "default"}]


def test_policy_name(client, secret):
    """PutResourcePolicy: only the policy `default` can be put"""
    with refused("InvalidParameterException"):
        client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=policy(READER), PolicyName="other")
    with refused("ResourceNotFoundException"):
        client.get_resource_policy(SecretId=secret["Name"], PolicyName="other")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"Statement":[{"Effect":"Maybe"}]}'])
def test_malformed_policy(client, secret, text):
    """PutResourcePolicy: a text that is no policy: MalformedPolicyDocumentException"""
    with refused("MalformedPolicyDocumentException"):
        client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=text)


def test_public_policy(client, secret):
    """PutResourcePolicy: BlockPublicPolicy refuses a policy that lets in everybody"""
    everybody = policy(dict(READER, Principal="*"))
    with refused("PublicPolicyException"):
        client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=everybody, BlockPublicPolicy=True)
    client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=policy(READER), BlockPublicPolicy=True)


def test_lockout(client, secret):
    """PutResourcePolicy: a policy that locks out its author is refused, and not attached"""
    shut = policy(dict(READER, Effect="Deny", Principal="*", Action="secretsmanager:*"))
    with refused("InvalidRequestException", "not let you change it again"):
        client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=shut)
    assert "ResourcePolicy" not in client.get_resource_policy(SecretId=secret["Name"])


def test_validate(client, secret):
    """ValidateResourcePolicy: says what is wrong, and attaches nothing"""
    check = lambda text, **more: client.validate_resource_policy(ResourcePolicy=text, **more)
    assert check(policy(READER), SecretId=secret["Name"])["PolicyValidationPassed"] is True
    for text, name in (
        ("{", "PolicySyntax"),
        (policy(dict(READER, Principal="*")), "PublicAccess"),
        (policy(dict(READER, Effect="Deny", Principal="*", Action="*")), "CallerLockout"),
    ):
        found = check(text, SecretId=secret["Name"])
        assert found["PolicyValidationPassed"] is False
        assert name in [e["CheckName"] for e in found["ValidationErrors"]]
    assert "ResourcePolicy" not in client.get_resource_policy(SecretId=secret["Name"])


def test_tags_that_lock_out(client, secret):
    """TagResource: a tag that would remove the caller's permission is refused, and not set"""
    KEYS.setdefault("tagger", None)
    statement = dict(
        READER,
        Effect="Deny",
        Principal={"AWS": "arn:aws:iam::000000000000:user/admin"},
        Action="secretsmanager:TagResource",
        Condition={"StringEquals": {"aws:ResourceTag/locked": "yes"}},
    )
    client.put_resource_policy(SecretId=secret["Name"], ResourcePolicy=policy(statement))
    with refused("AccessDeniedException"):
        client.tag_resource(SecretId=secret["Name"], Tags=[{"Key": "locked", "Value": "yes"}])
    assert "Tags" not in client.describe_secret(SecretId=secret["Name"])


def test_batch_needs_both(client, reader, name):
    """BatchGetSecretValue: needs GetSecretValue on each secret, and says for which it is missing"""
    for prefix in ("shared", "private"):
        client.create_secret(Name=f"{prefix}/{name}", SecretString=prefix)
    found = reader.batch_get_secret_value(SecretIdList=[f"shared/{name}", f"private/{name}"])
    assert [v["SecretString"] for v in found["SecretValues"]] == ["shared"]
    assert [(e["SecretId"], e["ErrorCode"]) for e in found["Errors"]] == [
        (f"private/{name}", "AccessDeniedException")
    ]


def test_batch_filters_need_list(reader):
    """BatchGetSecretValue: with filters it needs ListSecrets as well"""
    with refused("AccessDeniedException", "secretsmanager:ListSecrets"):
        reader.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["a"]}])


def test_create_with_tags(reader, name):
    """CreateSecret: with tags it needs TagResource as well"""
    reader.create_secret(Name=f"shared/{name}", SecretString="v")
    with refused("AccessDeniedException", "secretsmanager:TagResource"):
        reader.create_secret(Name=f"shared/{name}/tagged", SecretString="v", Tags=[{"Key": "k", "Value": "v"}])


def trail(**wanted):
    """Records of the audit log, once there is one with these members of `call`."""
    deadline = time.monotonic() + 10
    while True:
        with open(os.environ["STORE_AUDIT"]) as log:
            records = [json.loads(line) for line in log if line.endswith("\n")]
        found = [
            r
            for r in records
            if r["event"] == "store.call" and all(r["call"].get(k) == v for k, v in wanted.items())
        ]
        if found:
            return found
        assert time.monotonic() < deadline, wanted
        time.sleep(0.05)


def test_trail(client, name):
    """(all): a call is one record in CloudTrail's shape: who, from where, which secret, which version"""
    made = client.create_secret(Name=name, SecretString="hunter2-" + name)
    answer = client.get_secret_value(SecretId=name)
    [record] = trail(requestID=answer["ResponseMetadata"]["RequestId"])
    call = record["call"]
    assert (record["outcome"], record["source"]) == ("success", "127.0.0.1")
    assert record["identity"] == {"method": "access_key", "subject": "admin"}
    assert (call["eventName"], call["eventSource"]) == ("GetSecretValue", "secretsmanager.amazonaws.com")
    assert call["requestParameters"] == {"secretId": name}
    assert call["responseElements"] is None
    assert call["userIdentity"]["type"] == "IAMUser"
    assert call["userIdentity"]["arn"] == "arn:aws:iam::000000000000:user/admin"
    assert call["userIdentity"]["accessKeyId"] == KEYS["admin"]["access_key_id"]
    assert call["resources"][0]["ARN"] == made["ARN"]
    assert call["additionalEventData"]["secretVersionId"] == made["VersionId"]
    assert call["sourceIPAddress"] == "127.0.0.1" and call["userAgent"].startswith("Boto3")
    assert uuid.UUID(call["eventID"]) and call["eventTime"].endswith("Z")


def test_trail_denied(nobody, secret):
    """(all): a call that was denied is recorded too, with the statement or the lack of one"""
    with refused("AccessDeniedException") as denied:
        answer = nobody.get_secret_value(SecretId=secret["Name"])
    records = [
        r
        for r in trail(errorCode="AccessDeniedException", eventName="GetSecretValue")
        if r["call"]["requestParameters"] == {"secretId": secret["Name"]}
    ]
    [record] = records
    assert (record["outcome"], record["reason"]) == ("failure", "AccessDeniedException")
    assert "no statement allows" in record["call"]["additionalEventData"]["decision"]


def test_trail_unrecognised():
    """(all): so is one whose signature is wrong, without its parameters"""
    wrong = "x" * 40
    client = make_client(aws_secret_access_key=wrong)
    name = "secret/" + uuid.uuid4().hex
    with refused("InvalidSignatureException"):
        client.get_secret_value(SecretId=name)
    records = trail(errorCode="InvalidSignatureException", eventName="GetSecretValue")
    assert records[-1]["call"]["userIdentity"] == {
        "type": "Unknown",
        "accessKeyId": KEYS["admin"]["access_key_id"],
    }
    assert records[-1]["call"]["requestParameters"] is None
    with open(os.environ["STORE_AUDIT"]) as log:
        assert name not in log.read()


def test_trail_batch(client, name):
    """BatchGetSecretValue: one record for the call, and one for each secret"""
    client.create_secret(Name=name, SecretString="v")
    answer = client.batch_get_secret_value(SecretIdList=[name, name + "/none"])
    records = trail(requestID=answer["ResponseMetadata"]["RequestId"])
    assert [r["call"]["eventName"] for r in records] == ["BatchGetSecretValue", "GetSecretValue", "GetSecretValue"]
    assert [r["call"].get("errorCode") for r in records] == [None, None, "ResourceNotFoundException"]


def test_trail_holds_no_value(client, secret):
    """(all): no value and no key is in the audit log"""
    values = ["canary-" + uuid.uuid4().hex for _ in range(4)]
    id = secret["Name"]
    client.put_secret_value(SecretId=id, SecretString=values[0], RotationToken=values[3])
    client.update_secret(SecretId=id, SecretString=values[1])
    client.put_secret_value(SecretId=id, SecretBinary=values[2].encode())
    client.get_secret_value(SecretId=id)
    given = token()
    client.put_secret_value(SecretId=id, SecretString="last", ClientRequestToken=given)
    trail(eventName="PutSecretValue", requestParameters={"secretId": id, "clientRequestToken": given})
    import base64

    hidden = values + [base64.b64encode(values[2].encode()).decode()]
    hidden += [key["secret_access_key"] for key in KEYS.values() if key]
    with open(os.environ["STORE_AUDIT"]) as log:
        text = log.read()
    assert not [v for v in hidden if v in text]


def test_trail_of_who_hangs_up(client, secret):
    """(all): a call whose caller hangs up before the answer is recorded like any other"""
    import socket
    import struct
    import urllib.parse

    from test_auth import prepared

    url = urllib.parse.urlsplit(os.environ["STORE_URL"])
    given = [token() for _ in range(20)]
    for n, one in enumerate(given, 1):
        body = json.dumps({"SecretId": secret["Name"], "SecretString": one, "ClientRequestToken": one}).encode()
        request = prepared(body, **{"X-Amz-Target": "secretsmanager.PutSecretValue"})
        head = "".join(
            f"{k}: {v.decode() if isinstance(v, bytes) else v}\r\n" for k, v in request.headers.items()
        )
        with socket.create_connection((url.hostname, url.port)) as connection:
            # Closing is a reset, which is seen at once.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(f"POST / HTTP/1.1\r\nHost: {url.netloc}\r\n{head}\r\n".encode() + body)
            # A store on a server needs longer until it has recognised the caller.
            time.sleep(0.002 * n)
    # What came in after the last of them is done before this.
    client.put_secret_value(SecretId=secret["Name"], SecretString="last")
    versions = client.list_secret_version_ids(SecretId=secret["Name"], IncludeDeprecated=True)["Versions"]
    put = {v["VersionId"] for v in versions} & set(given)
    for one in put:
        trail(requestParameters={"secretId": secret["Name"], "clientRequestToken": one})
    assert put, "none of them got through"
