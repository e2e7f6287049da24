"""A plugin of pytest that lets tests written for moto ask the store at STORE_URL.

Clients of Secrets Manager go there; those of other services still get moto. Each
test begins with an empty store, as it does with moto.
"""

import functools
import os

import boto3
import moto

_client = boto3.client
_mock_aws = moto.mock_aws


def _to_store(service, *args, **more):
    if service != "secretsmanager":
        return _client(service, *args, **more)
    return _client(service, *args, **more | {
        "endpoint_url": os.environ["STORE_URL"],
        "aws_access_key_id": os.environ["STORE_KEY_ID"],
        "aws_secret_access_key": os.environ["STORE_KEY"],
    })


def _empty():
    client = _to_store("secretsmanager", "us-east-1")
    for page in client.get_paginator("list_secrets").paginate(IncludePlannedDeletion=True):
        for secret in page["SecretList"]:
            client.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)


class _Mock:
    """What stands for `moto.mock_aws()`."""

    def __init__(self):
        self.inner = _mock_aws()

    def __enter__(self):
        _empty()
        return self.inner.__enter__()

    def __exit__(self, *error):
        return self.inner.__exit__(*error)


def _mock(function=None):
    if function is None:
        return _Mock()

    @functools.wraps(function)
    def wrapped(*args, **more):
        with _Mock():
            return function(*args, **more)

    return wrapped


boto3.client = _to_store
moto.mock_aws = _mock
