"""The database: its migrations give the schema, its commits last, its failures are one sentence."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import IntegrityError

from rodagila.core.errors import Corrupted, Unreachable
from rodagila.store import schema
from rodagila.store.database import Database

DAO = {
    "name": "docs", "dao_id": "1", "contracts": "{}", "operator": "o", "evaluator": "e", "gateway": "g",
    "holdings": "b", "created": 1,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "roda.sqlite"


def test_the_migrations_give_exactly_the_schema(path: Path) -> None:
    database = Database.open(path)
    with database.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    database.close()


def test_a_committed_row_is_there_after_reopening(path: Path) -> None:
    database = Database.open(path)
    with database.begin() as connection:
        connection.execute(schema.dao.insert().values(DAO))
    database.close()
    again = Database.open(path)
    with again.begin() as connection:
        assert connection.execute(schema.dao.select()).one().name == "docs"
    again.close()


def test_an_error_in_the_middle_leaves_nothing(path: Path) -> None:
    database = Database.open(path)
    with pytest.raises(ZeroDivisionError), database.begin() as connection:
        connection.execute(schema.dao.insert().values(DAO))
        _ = 1 // 0
    with database.begin() as connection:
        assert connection.execute(schema.dao.select()).all() == []
    database.close()


def test_one_owner_cannot_use_a_nonce_twice_in_a_dao(path: Path) -> None:
    database = Database.open(path)
    row = {
        "dao": "docs", "turn": 1, "owner": "o", "nonce": "1", "count": 1, "manifest": "", "signature": "",
        "ciphertext_id": "c", "sealed_key": b"", "bond": 0, "bond_authorization": "", "received": 0,
    }  # fmt: skip
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(schema.dao.insert().values(DAO))
        connection.execute(schema.contribution.insert().values({**row, "id": "1"}))
        connection.execute(schema.contribution.insert().values({**row, "id": "2"}))
    database.close()


def test_a_file_that_is_no_database_is_refused_with_what_to_do(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(Corrupted) as error:
        Database.open(path)
    assert error.value.code == "database_corrupted"
    assert "Restore" in error.value.hint


def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(Corrupted) as error:
        Database.open(path)
    assert error.value.code == "database_newer"


def test_a_full_disk_is_one_sentence_and_leaves_nothing(path: Path) -> None:
    database = Database.open(path)
    with pytest.raises(Unreachable) as error, database.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        connection.execute(schema.dao.insert().values({**DAO, "contracts": "x" * 1_000_000}))
    assert error.value.code == "disk_full"
    with database.begin() as connection:
        assert connection.execute(schema.dao.select()).all() == []
    database.close()


def test_readers_do_not_wait_for_a_writer_and_see_one_state(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "home.sqlite")
    with database.begin() as writer:
        writer.exec_driver_sql("insert into channel_cursor values (1, 7)")
        with database.reading() as reader:
            assert reader.exec_driver_sql("select count(*) from channel_cursor").scalar() == 0
    with database.reading() as reader:
        assert reader.exec_driver_sql("select block from channel_cursor").scalar() == 7
        with database.begin() as writer:
            writer.exec_driver_sql("update channel_cursor set block = 8")
        assert reader.exec_driver_sql("select block from channel_cursor").scalar() == 7
    database.close()
