"""What may be shown of an address, and what must not."""

from __future__ import annotations

import pytest

from sgps.errors import StoreError
from sgps.registry import check_reachable
from sgps.registry.addresses import passwords_in, without_password


@pytest.mark.parametrize(
    ("uri", "shown", "passwords"),
    [
        ("postgresql://ada:pw@db:5/mlflow?sslmode=on", "postgresql://ada@db:5/mlflow", ["pw"]),
        ("postgresql:///mlflow?host=/run/pg&password=pw", "postgresql:///mlflow", ["pw"]),
        ("postgresql+psycopg:///mlflow?password=p%26w", "postgresql+psycopg:///mlflow", ["p&w"]),
        ("http://ada:p%40w@mlflow:5000", "http://ada@mlflow:5000", ["p%40w", "p@w"]),
        ("http://mlflow:no-port/x", "http://mlflow/x", []),
        ("sqlite:////home/ada/mlflow.db", "sqlite:////home/ada/mlflow.db", []),
    ],
)
def test_what_is_shown_and_what_is_secret(uri: str, shown: str, passwords: list[str]) -> None:
    assert without_password(uri) == shown
    assert list(passwords_in(uri)) == passwords


def test_a_password_among_the_options_is_in_no_message() -> None:
    with pytest.raises(StoreError) as caught:
        check_reachable("nonsense:///mlflow?user=u&password=hunter2")
    assert "hunter2" not in str(caught.value)
    assert "nonsense:///mlflow" in str(caught.value)
