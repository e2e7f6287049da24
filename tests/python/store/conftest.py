"""What the tests of the store's API stand on.

The same functions run against pgvalet and against moto: that they pass on both
shows that they speak the real API. Where moto does otherwise, a mark says so,
and the test must then fail there.
"""

import json
import os
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.validate import ParamValidator

URL = os.environ["STORE_URL"]
KIND = os.environ["STORE_KIND"]
REGION = "eu-west-1"
# Of a principal that may do everything, and of one that may do nothing.
KEYS = json.loads(os.environ.get("STORE_KEYS", "{}"))


def pytest_configure(config):
    config.addinivalue_line("markers", "moto(reason): moto does otherwise, so that this fails there")
    config.addinivalue_line("markers", "pgvalet: about what moto does not have at all")


def pytest_collection_modifyitems(items):
    if KIND == "pgvalet":
        return
    for item in items:
        if mark := item.get_closest_marker("moto"):
            item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=True))
        if item.get_closest_marker("pgvalet"):
            item.add_marker(pytest.mark.skip(reason="pgvalet's own"))


def make_client(key="admin", **more):
    keys = KEYS.get(key, {"access_key_id": "test", "secret_access_key": "test"})
    client = boto3.client(
        "secretsmanager",
        **{
            "region_name": REGION,
            "endpoint_url": URL,
            "aws_access_key_id": keys["access_key_id"],
            "aws_secret_access_key": keys["secret_access_key"],
            "config": Config(retries={"total_max_attempts": 1}),
            **more,
        },
    )
    if KIND == "pgvalet":
        client.meta.events.register("response-received.secretsmanager.*", check_response)
    return client


def check_response(response_dict, parsed_response, event_name, **_):
    """botocore reads what it knows and passes over the rest: here all has to fit."""
    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    assert uuid.UUID(headers["x-amzn-requestid"])
    assert headers["content-type"] == "application/x-amz-json-1.1"
    raw = json.loads(response_dict["body"])
    if response_dict["status_code"] >= 300:
        assert set(raw) in ({"__type", "Message"}, {"__type", "message"}), raw
        return
    model = MODEL.operation_model(event_name.rsplit(".", 1)[-1]).output_shape
    if model is None:
        assert raw == {}
        return
    parsed = {k: v for k, v in parsed_response.items() if k != "ResponseMetadata"}
    report = ParamValidator().validate(parsed, model)
    assert not report.has_errors(), report.generate_report()
    fits(raw, model)


def fits(value, shape):
    """No field that the model does not know, none that is null, times as numbers."""
    if shape.type_name == "structure":
        for name, member in value.items():
            assert name in shape.members, f"{shape.name} has no {name}"
            fits(member, shape.members[name])
    elif shape.type_name == "list":
        for member in value:
            fits(member, shape.member)
    elif shape.type_name == "map":
        for member in value.values():
            fits(member, shape.value)
    elif shape.type_name == "timestamp":
        assert isinstance(value, (int, float)) and not isinstance(value, bool)
    else:
        assert value is not None


_client = boto3.client(
    "secretsmanager", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
)
MODEL = _client.meta.service_model


@pytest.fixture(scope="session")
def client():
    return make_client()


@pytest.fixture
def name(request):
    """A name that nobody else has."""
    return f"t/{request.node.originalname}/{uuid.uuid4().hex[:8]}"


@pytest.fixture
def secret(client, name):
    """One with the value `one`."""
    return client.create_secret(Name=name, SecretString="one")


def token():
    return str(uuid.uuid4())


class refused:
    """The call has to be answered with this error, and perhaps these words."""

    def __init__(self, code, *words):
        self.code, self.words = code, words

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        from botocore.exceptions import ClientError

        assert kind is not None, f"not refused with {self.code}"
        if not issubclass(kind, ClientError):
            return False
        found = error.response["Error"]
        assert found["Code"] == self.code, found
        for word in self.words:
            assert word in found["Message"], found["Message"]
        if KIND == "pgvalet":
            status = 500 if self.code == "InternalServiceError" else 400
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
        return True
