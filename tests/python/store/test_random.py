"""GetRandomPassword."""

import string

import pytest
from conftest import refused

PUNCTUATION = string.punctuation


def password(client, **options):
    return client.get_random_password(**options)["RandomPassword"]


def test_default(client):
    """GetRandomPassword: 32 characters, one of each type, no space, never twice"""
    seen = {password(client) for _ in range(20)}
    assert len(seen) == 20
    for text in seen:
        assert len(text) == 32 and " " not in text
        for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, PUNCTUATION):
            assert set(text) & set(kind)


@pytest.mark.parametrize(
    "option, kind",
    [
        ("ExcludeLowercase", string.ascii_lowercase),
        ("ExcludeUppercase", string.ascii_uppercase),
        ("ExcludeNumbers", string.digits),
        ("ExcludePunctuation", PUNCTUATION),
    ],
)
def test_excluded_types(client, option, kind):
    """GetRandomPassword: excluded types do not occur"""
    assert not set(password(client, PasswordLength=200, **{option: True})) & set(kind)


def test_excluded_characters(client):
    """GetRandomPassword: excluded characters do not occur"""
    excluded = ":/@\"'\\aA0"
    assert not set(password(client, PasswordLength=500, ExcludeCharacters=excluded)) & set(excluded)


def test_space(client):
    """GetRandomPassword: spaces occur where IncludeSpace says so"""
    text = password(client, PasswordLength=4096, IncludeSpace=True)
    assert len(text) == 4096 and " " in text


@pytest.mark.moto("wants four characters anyway")
def test_each_type(client):
    """GetRandomPassword: RequireEachIncludedType can be switched off"""
    assert len(password(client, PasswordLength=1, RequireEachIncludedType=False)) == 1


def test_too_short(client):
    """GetRandomPassword: a length too short for one of each type is refused"""
    with refused("InvalidParameterException"):
        password(client, PasswordLength=3)


@pytest.mark.pgvalet
def test_length(client):
    """GetRandomPassword: 1 to 4096 characters"""
    with refused("ValidationException", "'4097'", "'passwordLength'", "4096"):
        password(client, PasswordLength=4097)


@pytest.mark.pgvalet
def test_nothing_left(client):
    """GetRandomPassword: options that leave no character are refused"""
    kinds = ("Lowercase", "Uppercase", "Numbers", "Punctuation")
    with refused("InvalidParameterException"):
        password(client, **{"Exclude" + kind: True for kind in kinds})
