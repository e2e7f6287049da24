"""Values, versions and staging labels."""

import pytest
from conftest import refused, token


def stages(client, secret):
    found = client.describe_secret(SecretId=secret["Name"]).get("VersionIdsToStages", {})
    return {version: sorted(labels) for version, labels in found.items()}


def test_get(client, secret):
    """GetSecretValue: returns AWSCURRENT if neither version nor stage is given"""
    found = client.get_secret_value(SecretId=secret["Name"])
    assert found["SecretString"] == "one" and found["VersionId"] == secret["VersionId"]
    assert (found["ARN"], found["Name"]) == (secret["ARN"], secret["Name"])
    assert found["VersionStages"] == ["AWSCURRENT"] and found["CreatedDate"]


def test_get_by_version(client, secret):
    """GetSecretValue: by VersionId; a stage given with it has to be on that version"""
    client.put_secret_value(SecretId=secret["Name"], SecretString="two")
    get = lambda **which: client.get_secret_value(SecretId=secret["Name"], **which)["SecretString"]
    assert get(VersionId=secret["VersionId"]) == "one"
    assert get(VersionId=secret["VersionId"], VersionStage="AWSPREVIOUS") == "one"
    with refused("InvalidRequestException", "not associated"):
        get(VersionId=secret["VersionId"], VersionStage="AWSCURRENT")


@pytest.mark.moto("says that the secret is not there")
def test_get_missing(client, secret, name):
    """GetSecretValue: no secret, no version, no stage: not found"""
    with refused("ResourceNotFoundException"):
        client.get_secret_value(SecretId=name + "x")
    with refused("ResourceNotFoundException", "VersionId: "):
        client.get_secret_value(SecretId=secret["Name"], VersionId=token())
    with refused("ResourceNotFoundException", "staging label: AWSPENDING"):
        client.get_secret_value(SecretId=secret["Name"], VersionStage="AWSPENDING")


@pytest.mark.parametrize("value", ["ä€𝄞", '{"password":"\\"\\\\\\n"}', " ", "x" * 65536, "\u0000\u001f"])
def test_values_survive(client, name, value):
    """PutSecretValue: any text of up to 65536 bytes comes back as it was"""
    client.create_secret(Name=name, SecretString=value)
    assert client.get_secret_value(SecretId=name)["SecretString"] == value
    client.put_secret_value(SecretId=name, SecretString=value[::-1])
    assert client.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"] == value[::-1]


@pytest.mark.pgvalet
@pytest.mark.parametrize("value", ["x" * 65537, "ä" * 32769])
def test_too_long(client, secret, value):
    """PutSecretValue: more than 65536 bytes are refused, and not quoted"""
    with pytest.raises(client.exceptions.ClientError) as error:
        client.put_secret_value(SecretId=secret["Name"], SecretString=value)
    assert error.value.response["Error"]["Code"] in ("ValidationException", "InvalidParameterException")
    assert value[:100] not in str(error.value)


def test_put(client, secret):
    """PutSecretValue: without stages the new version is AWSCURRENT, the old one AWSPREVIOUS"""
    put = client.put_secret_value(SecretId=secret["Name"], SecretString="two")
    assert put["VersionStages"] == ["AWSCURRENT"] and put["Name"] == secret["Name"]
    assert stages(client, secret) == {put["VersionId"]: ["AWSCURRENT"], secret["VersionId"]: ["AWSPREVIOUS"]}


def test_put_stage(client, secret):
    """PutSecretValue: with other stages AWSCURRENT stays where it is"""
    put = client.put_secret_value(SecretId=secret["Name"], SecretString="two", VersionStages=["AWSPENDING", "blue"])
    assert stages(client, secret) == {
        put["VersionId"]: ["AWSPENDING", "blue"],
        secret["VersionId"]: ["AWSCURRENT"],
    }


@pytest.mark.moto("puts the label on both")
def test_put_moves_label(client, secret):
    """PutSecretValue: a label of another version moves to the new version"""
    first = client.put_secret_value(SecretId=secret["Name"], SecretString="two", VersionStages=["blue"])
    second = client.put_secret_value(SecretId=secret["Name"], SecretString="three", VersionStages=["blue"])
    assert stages(client, secret)[second["VersionId"]] == ["blue"]
    assert first["VersionId"] not in stages(client, secret)



def test_put_again(client, secret):
    """PutSecretValue: the same token and value again succeed and change nothing"""
    given = token()
    for _ in range(2):
        put = client.put_secret_value(SecretId=secret["Name"], SecretString="two", ClientRequestToken=given)
        assert put["VersionId"] == given
    assert stages(client, secret) == {given: ["AWSCURRENT"], secret["VersionId"]: ["AWSPREVIOUS"]}



def test_put_other_value(client, secret):
    """PutSecretValue: the same token with another value is refused"""
    with refused("ResourceExistsException"):
        client.put_secret_value(SecretId=secret["Name"], SecretString="two", ClientRequestToken=secret["VersionId"])



@pytest.mark.pgvalet
def test_put_nothing(client, secret):
    """PutSecretValue: needs a value, and only one"""
    with refused("InvalidRequestException", "either SecretString or SecretBinary"):
        client.put_secret_value(SecretId=secret["Name"])
    with refused("InvalidParameterException"):
        client.put_secret_value(SecretId=secret["Name"], SecretString="a", SecretBinary=b"a")


def test_put_nothing_first(client, name):
    """PutSecretValue: that there is no value is told before that there is no secret"""
    with refused("InvalidRequestException", "either SecretString or SecretBinary"):
        client.put_secret_value(SecretId=name)


@pytest.mark.moto("keeps the order of the request")
def test_put_stages_are_sorted(client, secret):
    """PutSecretValue: VersionStages come back in alphabetical order"""
    done = client.put_secret_value(SecretId=secret["Name"], SecretString="two", VersionStages=["b", "c", "a"])
    assert done["VersionStages"] == ["a", "b", "c"]


@pytest.mark.pgvalet
def test_put_rotation_token(client, secret):
    """PutSecretValue: a RotationToken is accepted"""
    client.put_secret_value(SecretId=secret["Name"], SecretString="two", RotationToken=token())


@pytest.mark.pgvalet
def test_labels_limit(client, secret):
    """PutSecretValue: a version carries at most 20 labels"""
    client.put_secret_value(SecretId=secret["Name"], SecretString="v", VersionStages=[f"l{n}" for n in range(20)])
    put = client.put_secret_value(SecretId=secret["Name"], SecretString="w", VersionStages=["m"])
    with refused("LimitExceededException", "20"):
        for n in range(20):
            client.update_secret_version_stage(
                SecretId=secret["Name"], VersionStage=f"n{n}", MoveToVersionId=put["VersionId"]
            )


def pending(client, secret):
    return client.put_secret_value(SecretId=secret["Name"], SecretString="two", VersionStages=["AWSPENDING"])[
        "VersionId"
    ]


def test_promote(client, secret):
    """UpdateSecretVersionStage: moving AWSCURRENT leaves AWSPREVIOUS behind, and AWSPENDING where it is"""
    new = pending(client, secret)
    done = client.update_secret_version_stage(
        SecretId=secret["Name"],
        VersionStage="AWSCURRENT",
        MoveToVersionId=new,
        RemoveFromVersionId=secret["VersionId"],
    )
    assert (done["ARN"], done["Name"]) == (secret["ARN"], secret["Name"])
    assert stages(client, secret) == {new: ["AWSCURRENT", "AWSPENDING"], secret["VersionId"]: ["AWSPREVIOUS"]}


@pytest.mark.moto("leaves AWSPENDING there")
def test_pending_ends(client, secret):
    """PutSecretValue: a new AWSCURRENT takes AWSPENDING from the version that becomes AWSPREVIOUS"""
    new = pending(client, secret)
    client.update_secret_version_stage(
        SecretId=secret["Name"],
        VersionStage="AWSCURRENT",
        MoveToVersionId=new,
        RemoveFromVersionId=secret["VersionId"],
    )
    newest = client.put_secret_value(SecretId=secret["Name"], SecretString="three")["VersionId"]
    assert stages(client, secret) == {newest: ["AWSCURRENT"], new: ["AWSPREVIOUS"]}


def test_move_needs_from(client, secret):
    """UpdateSecretVersionStage: a label of another version needs RemoveFromVersionId"""
    new = pending(client, secret)
    with refused("InvalidParameterException", "RemoveFromVersionId can't be empty", secret["VersionId"]):
        client.update_secret_version_stage(SecretId=secret["Name"], VersionStage="AWSCURRENT", MoveToVersionId=new)


def test_move_wrong_from(client, secret):
    """UpdateSecretVersionStage: RemoveFromVersionId has to be the version that has the label"""
    new = pending(client, secret)
    with refused("InvalidParameterException"):
        client.update_secret_version_stage(
            SecretId=secret["Name"], VersionStage="AWSCURRENT", MoveToVersionId=new, RemoveFromVersionId=new
        )


def test_label_added_and_removed(client, secret):
    """UpdateSecretVersionStage: adds a custom label, and removes it"""
    id, version = secret["Name"], secret["VersionId"]
    client.update_secret_version_stage(SecretId=id, VersionStage="blue", MoveToVersionId=version)
    assert stages(client, secret) == {version: ["AWSCURRENT", "blue"]}
    client.update_secret_version_stage(SecretId=id, VersionStage="blue", RemoveFromVersionId=version)
    assert stages(client, secret) == {version: ["AWSCURRENT"]}


@pytest.mark.moto("removes AWSCURRENT")
def test_current_stays(client, secret):
    """UpdateSecretVersionStage: AWSCURRENT can be moved, not removed"""
    with refused("InvalidParameterException", "AWSCURRENT"):
        client.update_secret_version_stage(
            SecretId=secret["Name"], VersionStage="AWSCURRENT", RemoveFromVersionId=secret["VersionId"]
        )


@pytest.mark.moto("lists those without labels, asked or not")
def test_versions(client, secret):
    """ListSecretVersionIds: lists versions with labels; with IncludeDeprecated all versions"""
    ids = [secret["VersionId"]]
    for n in range(3):
        ids.append(client.put_secret_value(SecretId=secret["Name"], SecretString=str(n))["VersionId"])
    listed = client.list_secret_version_ids(SecretId=secret["Name"])
    assert {v["VersionId"] for v in listed["Versions"]} == set(ids[-2:])
    assert (listed["ARN"], listed["Name"]) == (secret["ARN"], secret["Name"])
    everything = client.list_secret_version_ids(SecretId=secret["Name"], IncludeDeprecated=True)["Versions"]
    assert {v["VersionId"] for v in everything} == set(ids)
    assert all(v["CreatedDate"] for v in everything)


@pytest.mark.moto("knows no pages here")
def test_versions_pages(client, secret):
    """ListSecretVersionIds: pages have the size that MaxResults says, and follow each other"""
    ids = [secret["VersionId"]]
    for n in range(6):
        ids.append(client.put_secret_value(SecretId=secret["Name"], SecretString=str(n))["VersionId"])
    seen, more = [], {}
    while True:
        page = client.list_secret_version_ids(
            SecretId=secret["Name"], IncludeDeprecated=True, MaxResults=3, **more
        )
        assert len(page["Versions"]) <= 3
        seen += [v["VersionId"] for v in page["Versions"]]
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert seen == ids


def test_batch(client, name):
    """BatchGetSecretValue: values of up to 20 secrets, and an error for each that fails"""
    made = [client.create_secret(Name=f"{name}/{n}", SecretString=str(n)) for n in range(3)]
    ids = [made[0]["Name"], made[1]["ARN"], made[2]["Name"], name + "/none"]
    found = client.batch_get_secret_value(SecretIdList=ids)
    assert [v["SecretString"] for v in found["SecretValues"]] == ["0", "1", "2"]
    assert [(e["SecretId"], e["ErrorCode"]) for e in found["Errors"]] == [
        (name + "/none", "ResourceNotFoundException")
    ]


def test_batch_filters(client, name):
    """BatchGetSecretValue: by filters, page by page"""
    for n in range(5):
        client.create_secret(Name=f"{name}/{n}", SecretString=str(n))
    filters = [{"Key": "name", "Values": [name]}]
    seen, more = [], {}
    while True:
        page = client.batch_get_secret_value(Filters=filters, MaxResults=2, **more)
        seen += [v["SecretString"] for v in page["SecretValues"]]
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert sorted(seen) == list("01234")


@pytest.mark.moto("takes a request with neither")
def test_batch_exclusive(client, secret):
    """BatchGetSecretValue: either SecretIdList or Filters; MaxResults with Filters only"""
    filters = [{"Key": "name", "Values": ["a"]}]
    for wrong in (
        {},
        {"SecretIdList": ["a"], "Filters": filters},
        {"SecretIdList": ["a"], "MaxResults": 1},
    ):
        with refused("InvalidParameterException"):
            client.batch_get_secret_value(**wrong)


@pytest.mark.pgvalet
def test_batch_limit(client):
    """BatchGetSecretValue: more than 20 ids are refused"""
    with refused("ValidationException", "'secretIdList'", "20"):
        client.batch_get_secret_value(SecretIdList=[f"a{n}" for n in range(21)])


@pytest.mark.pgvalet
@pytest.mark.parametrize("method", ["create_secret", "update_secret", "put_secret_value", "rotate_secret"])
def test_token_length(client, secret, method):
    """PutSecretValue: a ClientRequestToken has 32 to 64 characters, in every operation"""
    id = {"Name" if method == "create_secret" else "SecretId": secret["Name"]}
    more = {} if method == "rotate_secret" else {"SecretString": "v"}
    with refused("ValidationException", "'clientRequestToken'", "less than or equal to 64"):
        getattr(client, method)(**id, **more, ClientRequestToken="x" * 65)
