"""API keys: only the right text opens, and only while the key lasts."""

import pytest
from sqlalchemy import select, update

from distillery.store import keys
from distillery.store.db.database import Database
from distillery.store.db.tables import ApiKey
from distillery.store.errors import NotFound
from tests.store.makers import TENANT


def make(database: Database, expires_in_s: int | None = None) -> tuple[str, str]:
    with database.write() as s:
        key, token = keys.create(s, TENANT, "ci", ["write", "read"], expires_in_s)
    return key.id, token


def test_a_key_opens_and_its_secret_is_not_kept(database: Database) -> None:
    key_id, token = make(database)
    with database.read() as s:
        holder = keys.verify(s, token)
        row = s.get_one(ApiKey, key_id)
    assert holder == keys.Holder(key_id, TENANT, "ci", frozenset({"read", "write"}), True)
    secret = token.split("_")[2]
    assert not any(secret in str(value) for value in vars(row).values())


def test_anything_else_does_not(database: Database) -> None:
    _, token = make(database)
    _, other = make(database)
    start, key_id, secret, checksum = token.split("_")
    swapped = f"kd_{key_id}_{other.split('_')[2]}"
    unknown = f"kd_{'0' * 26}_{secret}"
    wrong = [
        "",
        "kd_",
        token[:-1],
        token + "0",
        token.upper(),
        f"{start}_{key_id}_{secret}_{'0' * 8}",
        f"{swapped}_{checksum}",
        f"{swapped}_{keys._checksum(swapped)}",
        f"{unknown}_{keys._checksum(unknown)}",
    ]
    with database.read() as s:
        assert keys.verify(s, token) is not None
        assert [text for text in wrong if keys.verify(s, text) is not None] == []


def test_expired_and_revoked_keys_do_not(database: Database) -> None:
    old_id, old = make(database, expires_in_s=100)
    gone_id, gone = make(database)
    with database.write() as s:
        assert keys.any_usable(s)
        assert keys.verify(s, old) is not None
        s.execute(update(ApiKey).where(ApiKey.id == old_id).values(expires_at=1))
        s.expire_all()
        first = keys.revoke(s, TENANT, gone_id).revoked_at
        assert first is not None and keys.revoke(s, TENANT, gone_id).revoked_at == first
        assert keys.verify(s, old) is None and keys.verify(s, gone) is None
        assert not keys.any_usable(s)
        with pytest.raises(NotFound):
            keys.revoke(s, "other", old_id)


def test_use_is_recorded_at_most_once_a_minute(database: Database) -> None:
    key_id, token = make(database)

    def touched() -> int | None:
        with database.write() as s:
            keys.touch(s, key_id)
        with database.read() as s:
            return s.scalar(select(ApiKey.last_used_at).where(ApiKey.id == key_id))

    first = touched()
    assert first is not None and touched() == first
    with database.read() as s:
        holder = keys.verify(s, token)
        assert holder is not None and not holder.touch_due
    with database.write() as s:
        s.execute(update(ApiKey).values(last_used_at=first - 61_000))
    assert (touched() or 0) >= first


def test_keys_are_listed_by_tenant(database: Database) -> None:
    made = [make(database)[0] for _ in range(3)]
    with database.read() as s:
        page, after = keys.page(s, TENANT, limit=2)
        rest, end = keys.page(s, TENANT, limit=2, after=after)
        assert [key.id for key in page + rest] == made[::-1] and end is None
        assert keys.page(s, "other") == ([], None)
