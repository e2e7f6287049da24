"""ListSecrets: filters, order, pages."""

import uuid

import pytest
from conftest import refused


@pytest.fixture(scope="module")
def prefix(client):
    prefix = "list/" + uuid.uuid4().hex[:8]
    for n, (description, tags) in enumerate(
        [
            ("Orders of the shop", [{"Key": "Team", "Value": "blue"}]),
            ("billing database", [{"Key": "Team", "Value": "green"}]),
            ("the Shop window", [{"Key": "stage", "Value": "Blueprint"}]),
            (None, []),
        ]
    ):
        more = {"Description": description} if description else {}
        client.create_secret(Name=f"{prefix}/{'abcd'[n]}", SecretString="v", Tags=tags, **more)
    return prefix


def names(client, prefix, *filters, **more):
    filters = [{"Key": "name", "Values": [prefix]}, *({"Key": k, "Values": v} for k, v in filters)]
    found = client.list_secrets(Filters=filters, **more)["SecretList"]
    return "".join(sorted(secret["Name"].removeprefix(prefix + "/") for secret in found))


def test_entries(client, prefix):
    """ListSecrets: shows metadata and labels, and no value"""
    found = client.list_secrets(Filters=[{"Key": "name", "Values": [prefix + "/a"]}])["SecretList"]
    assert len(found) == 1 and found[0]["Description"] == "Orders of the shop"
    assert found[0]["Tags"] == [{"Key": "Team", "Value": "blue"}]
    assert list(found[0]["SecretVersionsToStages"].values()) == [["AWSCURRENT"]]
    assert "VersionIdsToStages" not in found[0]


def test_name_prefix(client, prefix):
    """ListSecrets: `name` is a prefix, and letters have to match in case"""
    assert names(client, prefix) == "abcd"
    assert names(client, prefix, ("name", [prefix + "/a", prefix + "/b"])) == "ab"
    assert names(client, prefix, ("name", [prefix.upper()])) == ""


def test_tag_filters(client, prefix):
    """ListSecrets: `tag-key` and `tag-value` are prefixes, with case"""
    assert names(client, prefix, ("tag-key", ["Te"])) == "ab"
    assert names(client, prefix, ("tag-key", ["te"])) == ""
    assert names(client, prefix, ("tag-value", ["blu"])) == "a"
    assert names(client, prefix, ("tag-value", ["Blu"])) == "c"


def test_description_filter(client, prefix):
    """ListSecrets: `description` looks for words, in either case"""
    assert names(client, prefix, ("description", ["shop"])) == "ac"
    assert names(client, prefix, ("description", ["BILL"])) == "b"


def test_all_filter(client, prefix):
    """ListSecrets: `all` looks for words in names, descriptions and tags, in either case"""
    assert names(client, prefix, ("all", ["blue"])) == "ac"
    assert names(client, prefix, ("all", ["team"])) == "ab"


def test_all_words(client):
    """ListSecrets: `all` splits words at punctuation and at capitals, and each word of a value has to match"""
    name = f"words/{uuid.uuid4().hex[:8]}/checkoutCart"
    client.create_secret(Name=name, SecretString="v", Description="of the webShop")
    for value, found in [
        ("cart", 1),
        ("CHECK car", 1),
        ("checkoutCa", 1),
        ("shop_web", 1),
        ("!nothing", 1),
        ("checkoutcart", 0),
        ("heckout", 0),
        ("cart nothing", 0),
    ]:
        filters = [{"Key": "name", "Values": [name]}, {"Key": "all", "Values": [value]}]
        assert len(client.list_secrets(Filters=filters)["SecretList"]) == found, value


def test_filters_are_combined(client, prefix):
    """ListSecrets: all filters have to match, with one of their values each"""
    assert names(client, prefix, ("tag-key", ["Team"]), ("description", ["shop"])) == "a"
    assert names(client, prefix, ("description", ["billing", "window"])) == "bc"


@pytest.mark.moto("turns round each tag for itself")
def test_negation(client, prefix):
    """ListSecrets: `!` negates a value"""
    assert names(client, prefix, ("name", [f"!{prefix}/a"])) == "bcd"
    assert names(client, prefix, ("tag-key", ["!Team"])) == "cd"
    assert names(client, prefix, ("all", ["!shop"])) == "bd"


@pytest.mark.pgvalet
def test_region_and_owner(client, prefix):
    """ListSecrets: `primary-region` is that of the ARN, and no service owns a secret here"""
    assert names(client, prefix, ("primary-region", ["loc"])) == "abcd"
    assert names(client, prefix, ("primary-region", ["eu"])) == ""
    assert names(client, prefix, ("owning-service", ["rds"])) == ""
    assert names(client, prefix, ("owning-service", ["!rds"])) == "abcd"


@pytest.mark.pgvalet
def test_bad_filters(client):
    """ListSecrets: unknown keys, too many filters and odd characters are refused"""
    for filters in (
        [{"Key": "size", "Values": ["a"]}],
        [{"Key": "name", "Values": ["a"]}] * 11,
        [{"Key": "name", "Values": ["a"] * 11}],
        [{"Key": "name", "Values": ["a*"]}],
    ):
        with refused("ValidationException", "'filters"):
            client.list_secrets(Filters=filters)


def test_incomplete_filters(client):
    """ListSecrets: a filter needs a key and values, and the error names what is missing"""
    with refused("InvalidParameterException", "Invalid filter key"):
        client.list_secrets(Filters=[{"Values": ["a"]}])
    with refused("InvalidParameterException", "Invalid filter values for key: name"):
        client.list_secrets(Filters=[{"Key": "name"}])


def test_planned_deletion(client, name):
    """ListSecrets: a secret that waits for deletion is shown only on demand"""
    client.create_secret(Name=name, SecretString="v")
    client.delete_secret(SecretId=name)
    filters = [{"Key": "name", "Values": [name]}]
    assert client.list_secrets(Filters=filters)["SecretList"] == []
    found = client.list_secrets(Filters=filters, IncludePlannedDeletion=True)["SecretList"]
    assert found[0]["DeletedDate"]


@pytest.mark.pgvalet
@pytest.mark.parametrize("by", ["created-date", "last-changed-date", "name", "last-accessed-date"])
def test_order(client, prefix, by):
    """ListSecrets: SortBy and SortOrder, page by page"""
    filters = [{"Key": "name", "Values": [prefix]}]
    listed = {}
    for order in ("asc", "desc"):
        seen, more = [], {}
        while True:
            page = client.list_secrets(Filters=filters, SortBy=by, SortOrder=order, MaxResults=1, **more)
            seen += [secret["Name"][-1] for secret in page["SecretList"]]
            if "NextToken" not in page:
                break
            more = {"NextToken": page["NextToken"]}
        listed[order] = "".join(seen)
    assert listed == {"asc": "abcd", "desc": "dcba"}


def test_pages(client, name):
    """ListSecrets: MaxResults is the size of a page, and the paginator sees each secret once"""
    for n in range(7):
        client.create_secret(Name=f"{name}/{n}", SecretString="v")
    pages = client.get_paginator("list_secrets").paginate(
        Filters=[{"Key": "name", "Values": [name]}], PaginationConfig={"PageSize": 3}
    )
    sizes, seen = [], []
    for page in pages:
        sizes.append(len(page["SecretList"]))
        seen += [secret["Name"][-1] for secret in page["SecretList"]]
    assert sizes == [3, 3, 1] and sorted(seen) == list("0123456")


@pytest.mark.pgvalet
def test_pages_survive_changes(client, name):
    """ListSecrets: a page begins behind the last one, even if secrets were deleted meanwhile"""
    for n in range(4):
        client.create_secret(Name=f"{name}/{n}", SecretString="v")
    filters = [{"Key": "name", "Values": [name]}]
    first = client.list_secrets(Filters=filters, MaxResults=2)
    for secret in first["SecretList"]:
        client.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)
    second = client.list_secrets(Filters=filters, MaxResults=2, NextToken=first["NextToken"])
    assert [secret["Name"][-1] for secret in second["SecretList"]] == ["2", "3"]


@pytest.mark.pgvalet
def test_bad_token(client, name):
    """ListSecrets: a NextToken of another request, or an invented one, is refused"""
    for n in range(2):
        client.create_secret(Name=f"{name}/{n}", SecretString="v")
    page = client.list_secrets(Filters=[{"Key": "name", "Values": [name]}], MaxResults=1)
    with refused("InvalidNextTokenException"):
        client.list_secrets(MaxResults=1, NextToken=page["NextToken"])
    with refused("InvalidNextTokenException"):
        client.list_secrets(NextToken="AAAA")
