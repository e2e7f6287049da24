"""RotateSecret and CancelRotateSecret: the store is the queue of whoever rotates."""

import datetime

import pytest
from conftest import refused, token

pytestmark = pytest.mark.pgvalet
RULES = {"AutomaticallyAfterDays": 30}


def test_rotate(client, secret):
    """RotateSecret: saves the rules and puts an empty version under AWSPENDING"""
    given = token()
    answer = client.rotate_secret(SecretId=secret["Name"], ClientRequestToken=given, RotationRules=RULES)
    assert (answer["ARN"], answer["Name"], answer["VersionId"]) == (secret["ARN"], secret["Name"], given)
    found = client.describe_secret(SecretId=secret["Name"])
    assert found["RotationEnabled"] is True and found["RotationRules"] == RULES
    assert found["VersionIdsToStages"] == {secret["VersionId"]: ["AWSCURRENT"], given: ["AWSPENDING"]}
    with refused("ResourceNotFoundException", "AWSPENDING"):
        client.get_secret_value(SecretId=secret["Name"], VersionStage="AWSPENDING")


def test_rotate_through(client, secret):
    """RotateSecret: the empty version is filled and promoted; LastRotatedDate says when"""
    given = token()
    client.rotate_secret(SecretId=secret["Name"], ClientRequestToken=given, RotationRules=RULES)
    client.put_secret_value(
        SecretId=secret["Name"], ClientRequestToken=given, SecretString="two", VersionStages=["AWSPENDING"]
    )
    client.update_secret_version_stage(
        SecretId=secret["Name"],
        VersionStage="AWSCURRENT",
        MoveToVersionId=given,
        RemoveFromVersionId=secret["VersionId"],
    )
    found = client.describe_secret(SecretId=secret["Name"])
    assert found["VersionIdsToStages"] == {
        given: ["AWSCURRENT", "AWSPENDING"],
        secret["VersionId"]: ["AWSPREVIOUS"],
    }
    rotated, due = found["LastRotatedDate"], found["NextRotationDate"]
    assert datetime.timedelta(days=30) <= due - rotated <= datetime.timedelta(days=31)


def test_rotate_again(client, secret):
    """RotateSecret: the same token again succeeds; another one during a rotation is refused"""
    given = token()
    for _ in range(2):
        client.rotate_secret(SecretId=secret["Name"], ClientRequestToken=given, RotationRules=RULES)
    with refused("InvalidRequestException", "previous rotation isn't complete"):
        client.rotate_secret(SecretId=secret["Name"])


def test_rotate_by_nobody(client, secret):
    """RotateSecret: a secret without a function, without rules and without a proxy cannot be rotated"""
    with refused("InvalidRequestException", "Lambda rotation function ARN"):
        client.rotate_secret(SecretId=secret["Name"])
    found = client.describe_secret(SecretId=secret["Name"])
    assert "RotationEnabled" not in found
    assert found["VersionIdsToStages"] == {secret["VersionId"]: ["AWSCURRENT"]}
    function = "arn:aws:lambda:eu-west-1:1:function:f"
    client.rotate_secret(SecretId=secret["Name"], RotationLambdaARN=function)


def test_rotate_later(client, secret):
    """RotateSecret: with RotateImmediately false only the rules are saved"""
    client.rotate_secret(SecretId=secret["Name"], RotationRules=RULES, RotateImmediately=False)
    found = client.describe_secret(SecretId=secret["Name"])
    assert found["RotationEnabled"] and found["NextRotationDate"]
    assert found["VersionIdsToStages"] == {secret["VersionId"]: ["AWSCURRENT"]}


def test_rotate_keeps_rules(client, secret):
    """RotateSecret: a parameter that is not given stays unchanged"""
    rules = {"ScheduleExpression": "cron(0 8 ? * SAT#3 *)", "Duration": "3h"}
    client.rotate_secret(
        SecretId=secret["Name"],
        RotationRules=rules,
        RotateImmediately=False,
        RotationLambdaARN="arn:aws:lambda:eu-west-1:1:function:f",
        ExternalSecretRotationMetadata=[{"Key": "k", "Value": "v"}],
        ExternalSecretRotationRoleArn="arn:aws:iam::000000000000:role/r",
    )
    client.rotate_secret(SecretId=secret["Name"], RotateImmediately=False)
    found = client.describe_secret(SecretId=secret["Name"])
    assert found["RotationRules"] == rules
    assert found["RotationLambdaARN"].endswith("function:f")
    assert found["ExternalSecretRotationMetadata"] == [{"Key": "k", "Value": "v"}]
    listed = client.list_secrets(Filters=[{"Key": "name", "Values": [secret["Name"]]}])["SecretList"]
    assert listed[0]["RotationRules"] == rules and listed[0]["RotationEnabled"] is True


def test_manual_change_counts(client, secret):
    """RotateSecret: a value put by hand counts as a rotation"""
    client.rotate_secret(SecretId=secret["Name"], RotationRules=RULES, RotateImmediately=False)
    assert "LastRotatedDate" not in client.describe_secret(SecretId=secret["Name"])
    client.put_secret_value(SecretId=secret["Name"], SecretString="two")
    assert client.describe_secret(SecretId=secret["Name"])["LastRotatedDate"]


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"AutomaticallyAfterDays": 30, "ScheduleExpression": "rate(10 days)"},
        {"ScheduleExpression": "rate(3 hours)"},
        {"ScheduleExpression": "rate(1000 days)"},
        {"ScheduleExpression": "cron(5 8 * * ? *)"},
        {"ScheduleExpression": "cron(0 8 * *)"},
        {"ScheduleExpression": "daily"},
        {"AutomaticallyAfterDays": 30, "Duration": "0h"},
        {"AutomaticallyAfterDays": 30, "Duration": "99h"},
    ],
)
def test_bad_rules(client, secret, rules):
    """RotateSecret: rules that are empty, contradict each other, or have no valid schedule are refused"""
    with refused("InvalidParameterException"):
        client.rotate_secret(SecretId=secret["Name"], RotationRules=rules)
    assert "RotationEnabled" not in client.describe_secret(SecretId=secret["Name"])


@pytest.mark.parametrize("rules", [{"AutomaticallyAfterDays": 1001}, {"ScheduleExpression": "rate(é)"}])
def test_impossible_rules(client, secret, rules):
    """RotateSecret: values that the service model rules out are refused"""
    with refused("ValidationException", "rotationRules."):
        client.rotate_secret(SecretId=secret["Name"], RotationRules=rules)


def test_cancel(client, secret):
    """CancelRotateSecret: turns rotation off and returns the version under way"""
    given = token()
    client.rotate_secret(SecretId=secret["Name"], ClientRequestToken=given, RotationRules=RULES)
    answer = client.cancel_rotate_secret(SecretId=secret["Name"])
    assert (answer["ARN"], answer["Name"], answer["VersionId"]) == (secret["ARN"], secret["Name"], given)
    found = client.describe_secret(SecretId=secret["Name"])
    assert found["RotationEnabled"] is False and "NextRotationDate" not in found
    # The label stays until somebody takes it, as in AWS.
    assert found["VersionIdsToStages"][given] == ["AWSPENDING"]
    client.update_secret_version_stage(
        SecretId=secret["Name"], VersionStage="AWSPENDING", RemoveFromVersionId=given
    )
    client.rotate_secret(SecretId=secret["Name"])


def test_cancel_nothing(client, secret):
    """CancelRotateSecret: a secret without rotation has none to cancel"""
    with refused("InvalidRequestException"):
        client.cancel_rotate_secret(SecretId=secret["Name"])
