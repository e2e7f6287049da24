"""The AWS CLI, as it is installed: every operation once. In this process,
because starting Python for each call would take most of the time."""

import base64
import contextlib
import io
import json
import uuid

import pytest
from awscli.clidriver import create_clidriver
from conftest import KEYS, KIND, MODEL, REGION, URL

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::000000000000:user/reader"},
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
        }
    ],
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    keys = KEYS.get("admin", {"access_key_id": "test", "secret_access_key": "test"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", keys["access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", keys["secret_access_key"])
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_CONFIG_FILE", str(tmp_path_factory.mktemp("aws") / "config"))
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield create_clidriver()


@pytest.fixture
def aws(driver):
    def run(*arguments):
        """`aws secretsmanager …`: its exit code, and what it printed."""
        out, err = io.StringIO(), io.StringIO()
        out.buffer = io.BytesIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = driver.main(["secretsmanager", "--endpoint-url", URL, *arguments])
        text = out.getvalue() + out.buffer.getvalue().decode()
        return code, (json.loads(text) if text.strip() else err.getvalue())

    def ok(*arguments):
        code, answer = run(*arguments)
        assert code == 0, (arguments, answer)
        return answer

    ok.run = run
    return ok


def test_life(aws, tmp_path):
    """(CLI): a secret from its creation to its end"""
    name = "cli/" + uuid.uuid4().hex[:8]
    made = aws("create-secret", "--name", name, "--secret-string", "one", "--description", "d")
    assert aws("get-secret-value", "--secret-id", name)["SecretString"] == "one"
    binary = tmp_path / "b"
    binary.write_bytes(b"\0\1\2")
    put = aws("put-secret-value", "--secret-id", name, "--secret-binary", f"fileb://{binary}")
    found = aws("get-secret-value", "--secret-id", name)
    assert base64.b64decode(found["SecretBinary"]) == b"\0\1\2" and found["VersionId"] == put["VersionId"]
    aws("update-secret", "--secret-id", name, "--description", "new")
    aws("tag-resource", "--secret-id", name, "--tags", "Key=a,Value=1", "Key=b,Value=2")
    aws("untag-resource", "--secret-id", name, "--tag-keys", "b")
    found = aws("describe-secret", "--secret-id", name)
    assert found["Description"] == "new" and found["Tags"] == [{"Key": "a", "Value": "1"}]
    aws(
        "update-secret-version-stage", "--secret-id", name, "--version-stage", "AWSCURRENT",
        "--move-to-version-id", made["VersionId"], "--remove-from-version-id", put["VersionId"],
    )  # fmt: skip
    assert aws("get-secret-value", "--secret-id", name, "--version-stage", "AWSCURRENT")["SecretString"] == "one"
    listed = aws("list-secret-version-ids", "--secret-id", name, "--include-deprecated")
    assert len(listed["Versions"]) == 2
    assert [s["Name"] for s in aws("list-secrets", "--filters", f"Key=name,Values={name}")["SecretList"]] == [name]
    batch = aws("batch-get-secret-value", "--secret-id-list", name)
    assert batch["SecretValues"][0]["Name"] == name
    assert len(aws("get-random-password", "--password-length", "40")["RandomPassword"]) == 40
    aws("delete-secret", "--secret-id", name, "--recovery-window-in-days", "7")
    assert aws.run("get-secret-value", "--secret-id", name)[0] != 0
    aws("restore-secret", "--secret-id", name)
    aws("delete-secret", "--secret-id", name, "--force-delete-without-recovery")
    code, said = aws.run("describe-secret", "--secret-id", name)
    assert code != 0 and "ResourceNotFoundException" in said


@pytest.mark.pgvalet
def test_policies_and_rotation(aws, tmp_path):
    """(CLI): resource policies, rotation, and what is refused"""
    name = "cli/" + uuid.uuid4().hex[:8]
    aws("create-secret", "--name", name, "--secret-string", "one")
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY))
    policy = f"file://{file}"
    assert aws("validate-resource-policy", "--secret-id", name, "--resource-policy", policy)["PolicyValidationPassed"]
    aws("put-resource-policy", "--secret-id", name, "--resource-policy", policy, "--block-public-policy")
    assert json.loads(aws("get-resource-policy", "--secret-id", name)["ResourcePolicy"]) == POLICY
    assert aws("list-resource-policies", "--secret-id", name)["ResourcePolicies"]
    aws("delete-resource-policy", "--secret-id", name)
    aws("rotate-secret", "--secret-id", name, "--rotation-rules", "AutomaticallyAfterDays=30")
    assert aws("describe-secret", "--secret-id", name)["RotationEnabled"] is True
    aws("cancel-rotate-secret", "--secret-id", name)
    arn = aws("describe-secret", "--secret-id", name)["ARN"]
    for refused in (
        ("replicate-secret-to-regions", "--add-replica-regions", "Region=us-east-1"),
        ("remove-regions-from-replication", "--remove-replica-regions", "us-east-1"),
        ("stop-replication-to-replica",),
        ("associate-cross-account-replica", "--cross-account-replica-arn", arn),
        ("disassociate-cross-account-replica", "--cross-account-replica-arn", arn),
    ):
        code, said = aws.run(refused[0], "--secret-id", name, *refused[1:])
        assert code != 0 and "InvalidRequestException" in said, said


def test_every_operation():
    """(CLI): the two tests above cover every operation"""
    import inspect

    from botocore import xform_name

    source = inspect.getsource(test_life) + inspect.getsource(test_policies_and_rotation)
    missing = [o for o in MODEL.operation_names if f'"{xform_name(o, "-")}"' not in source]
    assert missing == []
