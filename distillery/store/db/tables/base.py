"""The base of all tables. Times are milliseconds since 1970, by the database's clock."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, MetaData, String
from sqlalchemy.orm import DeclarativeBase

Json = dict[str, Any]


class Table(DeclarativeBase):
    """Base class whose naming convention lets migrations name every constraint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        Json: JSON(none_as_null=True),
        int: BigInteger,
        str: String(200),
        float: Float(53),
    }
