"""The table of docs/STORE.md says what the tests say."""

import pytest
import table
from conftest import MODEL

pytestmark = pytest.mark.pgvalet


def test_the_table_is_what_the_tests_say():
    _, inside, _ = table.split()
    assert inside == table.table(), "write it anew: python tests/python/store/table.py"


def test_every_operation_has_a_row():
    operations = {operation for operation, *_ in table.rows()}
    assert set(MODEL.operation_names) - operations == set()
