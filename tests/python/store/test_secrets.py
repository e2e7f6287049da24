"""CreateSecret, DescribeSecret, UpdateSecret, DeleteSecret, RestoreSecret, tags."""

import datetime
import re

import pytest
from conftest import KIND, make_client, refused, token

REPLICAS = [{"Region": "us-east-1"}]


def test_create(client, name):
    """CreateSecret: the ARN ends with the name and six random characters"""
    made = client.create_secret(Name=name, SecretString="v")
    pattern = r"arn:aws:secretsmanager:[^:]+:\d{12}:secret:" + re.escape(name) + "-[A-Za-z0-9]{6}"
    assert re.fullmatch(pattern, made["ARN"])
    assert made["Name"] == name
    assert len(made["VersionId"]) == 36
    assert client.get_secret_value(SecretId=name)["VersionStages"] == ["AWSCURRENT"]


def test_create_token(client, name):
    """CreateSecret: the ClientRequestToken becomes the VersionId"""
    given = token()
    assert client.create_secret(Name=name, SecretString="v", ClientRequestToken=given)["VersionId"] == given


def test_create_again(client, name):
    """CreateSecret: the same token and value again change nothing and succeed"""
    given = token()
    first = client.create_secret(Name=name, SecretString="v", ClientRequestToken=given)
    again = client.create_secret(Name=name, SecretString="v", ClientRequestToken=given)
    assert again["ARN"] == first["ARN"] and again["VersionId"] == given


def test_create_token_in_use(client, secret):
    """CreateSecret: an existing name, with the token of another value: the error names the token"""
    with refused("ResourceExistsException", "ClientRequestToken", secret["VersionId"]):
        client.create_secret(Name=secret["Name"], SecretString="other", ClientRequestToken=secret["VersionId"])


def test_create_exists(client, secret):
    """CreateSecret: a name that is taken is refused"""
    with refused("ResourceExistsException", "already exists"):
        client.create_secret(Name=secret["Name"], SecretString="two")


def test_create_empty(client, name):
    """CreateSecret: without a value there is no version yet"""
    made = client.create_secret(Name=name)
    assert "VersionId" not in made
    assert "VersionIdsToStages" not in client.describe_secret(SecretId=name)
    with refused("ResourceNotFoundException", "AWSCURRENT"):
        client.get_secret_value(SecretId=name)
    client.put_secret_value(SecretId=name, SecretString="v")
    assert client.get_secret_value(SecretId=name)["SecretString"] == "v"


@pytest.mark.moto("takes any name")
@pytest.mark.parametrize("bad", ["a b", "a!", "ä", "a:b", "a\\b"])
def test_create_bad_name(client, bad):
    """CreateSecret: names may have only letters, digits and /_+=.@-"""
    with refused("ValidationException", "Invalid name"):
        client.create_secret(Name=bad, SecretString="v")


@pytest.mark.moto("takes any length")
def test_create_long_name(client, name):
    """CreateSecret: names have at most 512 characters"""
    client.create_secret(Name=name.ljust(512, "a"), SecretString="v")
    with refused("ValidationException", "'name'", "less than or equal to 512"):
        client.create_secret(Name=name.ljust(513, "b"), SecretString="v")


@pytest.mark.moto("takes both")
def test_create_two_values(client, name):
    """CreateSecret: SecretString and SecretBinary exclude each other"""
    with refused("InvalidParameterException"):
        client.create_secret(Name=name, SecretString="v", SecretBinary=b"v")


def test_create_binary(client, name):
    """CreateSecret: SecretBinary comes back byte for byte"""
    value = bytes(range(256))
    client.create_secret(Name=name, SecretBinary=value)
    found = client.get_secret_value(SecretId=name)
    assert found["SecretBinary"] == value and "SecretString" not in found


@pytest.mark.moto("makes the secret")
def test_create_replicated(client, name):
    """CreateSecret: replica regions are refused"""
    with refused("InvalidRequestException", "replicated"):
        client.create_secret(Name=name, SecretString="v", AddReplicaRegions=REPLICAS)


def test_describe(client, name):
    """DescribeSecret: shows all metadata, and no value"""
    made = client.create_secret(
        Name=name, SecretString="hunter2", Description="d", Tags=[{"Key": "k", "Value": "v"}], KmsKeyId="alias/a"
    )
    found = client.describe_secret(SecretId=name)
    assert (found["ARN"], found["Name"], found["Description"]) == (made["ARN"], name, "d")
    assert found["KmsKeyId"] == "alias/a"
    assert found["Tags"] == [{"Key": "k", "Value": "v"}]
    assert found["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"]}
    now = datetime.datetime.now(datetime.timezone.utc)
    assert abs(now - found["CreatedDate"]) < datetime.timedelta(minutes=5)
    assert "hunter2" not in str(found) and "DeletedDate" not in found


@pytest.mark.moto("shows it before the first access")
def test_describe_accessed(client, secret):
    """DescribeSecret: LastAccessedDate is the day of the last GetSecretValue"""
    assert "LastAccessedDate" not in client.describe_secret(SecretId=secret["Name"])
    client.get_secret_value(SecretId=secret["Name"])
    day = client.describe_secret(SecretId=secret["Name"])["LastAccessedDate"]
    assert day.astimezone(datetime.timezone.utc).time() == datetime.time(0)


def test_describe_missing(client, name):
    """DescribeSecret: a secret that is not there is not found"""
    with refused("ResourceNotFoundException", "can't find the specified secret"):
        client.describe_secret(SecretId=name)


def test_id_forms(client, secret):
    """DescribeSecret: SecretId is a name, an ARN, or an ARN without its random end"""
    for id in (secret["Name"], secret["ARN"], secret["ARN"][:-7]):
        assert client.describe_secret(SecretId=id)["ARN"] == secret["ARN"]


def test_recreated(client, secret):
    """CreateSecret: a secret that is made again has another ARN, and the old ARN finds nothing"""
    client.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)
    again = client.create_secret(Name=secret["Name"], SecretString="v")
    assert again["ARN"] != secret["ARN"]
    with refused("ResourceNotFoundException"):
        client.describe_secret(SecretId=secret["ARN"])



def test_update(client, secret):
    """UpdateSecret: changes the description; a parameter that is not given stays unchanged"""
    client.update_secret(SecretId=secret["Name"], Description="new", KmsKeyId="alias/b")
    found = client.describe_secret(SecretId=secret["Name"])
    assert (found["Description"], found["KmsKeyId"]) == ("new", "alias/b")
    assert client.get_secret_value(SecretId=secret["Name"])["SecretString"] == "one"


def test_update_value(client, secret):
    """UpdateSecret: a value makes a new current version and leaves AWSPREVIOUS behind"""
    made = client.update_secret(SecretId=secret["Name"], SecretString="two")
    stages = client.describe_secret(SecretId=secret["Name"])["VersionIdsToStages"]
    assert stages == {made["VersionId"]: ["AWSCURRENT"], secret["VersionId"]: ["AWSPREVIOUS"]}


def test_update_token(client, secret):
    """UpdateSecret: a token in use, with another value, is refused"""
    with refused("ResourceExistsException", secret["VersionId"]):
        client.update_secret(SecretId=secret["Name"], SecretString="two", ClientRequestToken=secret["VersionId"])


@pytest.mark.moto("has only the default key")
def test_update_key(client, secret):
    """UpdateSecret: another KmsKeyId seals the versions in use again; old values can still be read"""
    client.update_secret(SecretId=secret["Name"], SecretString="two")
    client.update_secret(SecretId=secret["Name"], KmsKeyId="alias/other")
    versions = client.list_secret_version_ids(SecretId=secret["Name"])["Versions"]
    assert [v["KmsKeyIds"] for v in versions] == [["alias/other"]] * 2
    for stage, value in (("AWSCURRENT", "two"), ("AWSPREVIOUS", "one")):
        assert client.get_secret_value(SecretId=secret["Name"], VersionStage=stage)["SecretString"] == value


def test_delete_window(client, secret):
    """DeleteSecret: the recovery window is 30 days unless given"""
    for days, more in ((30, {}), (7, {"RecoveryWindowInDays": 7})):
        gone = client.delete_secret(SecretId=secret["Name"], **more)
        assert (gone["ARN"], gone["Name"]) == (secret["ARN"], secret["Name"])
        left = gone["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)
        assert abs(left - datetime.timedelta(days=days)) < datetime.timedelta(minutes=5)
        assert client.describe_secret(SecretId=secret["Name"])["DeletedDate"]
        client.restore_secret(SecretId=secret["Name"])


@pytest.mark.parametrize("days", [0, 6, 31])
def test_delete_bad_window(client, secret, days):
    """DeleteSecret: the recovery window has 7 to 30 days"""
    with refused("InvalidParameterException", "between 7 and 30"):
        client.delete_secret(SecretId=secret["Name"], RecoveryWindowInDays=days)


def test_delete_exclusive(client, secret):
    """DeleteSecret: ForceDeleteWithoutRecovery excludes a window"""
    with refused("InvalidParameterException", "in conjunction with"):
        client.delete_secret(SecretId=secret["Name"], RecoveryWindowInDays=7, ForceDeleteWithoutRecovery=True)


def test_delete_bad_window_first(client, name):
    """DeleteSecret: a window outside 7 to 30 days is told first, by force and of a missing secret too"""
    with refused("InvalidParameterException", "between 7 and 30 days"):
        client.delete_secret(SecretId=name, RecoveryWindowInDays=6, ForceDeleteWithoutRecovery=True)


def test_delete_now(client, secret):
    """DeleteSecret: a forced deletion takes effect at once"""
    client.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)
    with refused("ResourceNotFoundException"):
        client.describe_secret(SecretId=secret["Name"])


def test_delete_missing(client, name):
    """DeleteSecret: a secret that does not exist can be deleted only by force"""
    assert client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)["DeletionDate"]
    with refused("ResourceNotFoundException"):
        client.delete_secret(SecretId=name)


@pytest.mark.moto("takes the name of a secret that waits for deletion")
def test_deleted_refuses(client, secret):
    """DeleteSecret: a secret that waits for deletion cannot be read or changed"""
    id = secret["Name"]
    client.delete_secret(SecretId=id)
    for call in (
        lambda: client.get_secret_value(SecretId=id),
        lambda: client.put_secret_value(SecretId=id, SecretString="v"),
        lambda: client.update_secret(SecretId=id, Description="d"),
        lambda: client.delete_secret(SecretId=id),
        lambda: client.create_secret(Name=id, SecretString="v"),
    ):
        with refused("InvalidRequestException"):
            call()



def test_restore(client, secret):
    """RestoreSecret: cancels the deletion"""
    client.delete_secret(SecretId=secret["Name"])
    back = client.restore_secret(SecretId=secret["Name"])
    assert (back["ARN"], back["Name"]) == (secret["ARN"], secret["Name"])
    assert client.get_secret_value(SecretId=secret["Name"])["SecretString"] == "one"
    assert "DeletedDate" not in client.describe_secret(SecretId=secret["Name"])


def test_restore_missing(client, name):
    """RestoreSecret: a secret that does not exist is not found"""
    with refused("ResourceNotFoundException"):
        client.restore_secret(SecretId=name)


def test_tag(client, secret):
    """TagResource: adds tags, and replaces the value of an existing key"""
    client.tag_resource(SecretId=secret["Name"], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    client.tag_resource(SecretId=secret["Name"], Tags=[{"Key": "a", "Value": "3"}])
    found = {t["Key"]: t["Value"] for t in client.describe_secret(SecretId=secret["Name"])["Tags"]}
    assert found == {"a": "3", "b": "2"}


@pytest.mark.moto("takes any number")
def test_tag_limits(client, secret):
    """TagResource: at most 50 tags, none of which begins with aws:"""
    with refused("InvalidParameterException", "aws:"):
        client.tag_resource(SecretId=secret["Name"], Tags=[{"Key": "aws:a", "Value": "1"}])
    with refused("InvalidParameterException", "50"):
        client.tag_resource(SecretId=secret["Name"], Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)])
    assert "Tags" not in client.describe_secret(SecretId=secret["Name"])


def test_untag(client, secret):
    """UntagResource: removes keys; a missing key is no error"""
    client.tag_resource(SecretId=secret["Name"], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    client.untag_resource(SecretId=secret["Name"], TagKeys=["a", "c"])
    assert client.describe_secret(SecretId=secret["Name"])["Tags"] == [{"Key": "b", "Value": "2"}]


@pytest.mark.pgvalet
def test_replication(client, secret):
    """ReplicateSecretToRegions: refused cleanly, there are no other regions"""
    with refused("InvalidRequestException", "replicated"):
        client.replicate_secret_to_regions(SecretId=secret["Name"], AddReplicaRegions=REPLICAS)


@pytest.mark.pgvalet
def test_replication_removed(client, secret):
    """RemoveRegionsFromReplication: refused cleanly"""
    with refused("InvalidRequestException", "replicated"):
        client.remove_regions_from_replication(SecretId=secret["Name"], RemoveReplicaRegions=["us-east-1"])


@pytest.mark.pgvalet
def test_replication_stopped(client, secret):
    """StopReplicationToReplica: refused cleanly"""
    with refused("InvalidRequestException", "replicated"):
        client.stop_replication_to_replica(SecretId=secret["Name"])


@pytest.mark.pgvalet
def test_replica_associated(client, secret):
    """AssociateCrossAccountReplica: refused cleanly"""
    with refused("InvalidRequestException", "replicated"):
        client.associate_cross_account_replica(SecretId=secret["Name"], CrossAccountReplicaARN=secret["ARN"])


@pytest.mark.pgvalet
def test_replica_disassociated(client, secret):
    """DisassociateCrossAccountReplica: refused cleanly"""
    with refused("InvalidRequestException", "replicated"):
        client.disassociate_cross_account_replica(SecretId=secret["Name"], CrossAccountReplicaARN=secret["ARN"])
