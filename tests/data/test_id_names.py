"""Names that columns of identifiers have."""

import pytest

from stackkit._data import is_named_like_an_id


@pytest.mark.parametrize("name", ["id", "ID", "PassengerId", "user_id", "row-id", "Unnamed: 0", "index", "orderID"])
def test_names_like_those_of_ids(name):
    assert is_named_like_an_id(name)


@pytest.mark.parametrize("name", ["paid", "Paid", "valid", "humid", "AID", "identity", "Idea"])
def test_names_unlike_those_of_ids(name):
    assert not is_named_like_an_id(name)
