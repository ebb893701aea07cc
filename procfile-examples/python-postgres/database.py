"""The one table of this app, in PostgreSQL or, where there is none, in a SQLite file."""

import os
import sqlite3
import tempfile
from contextlib import contextmanager

PROVERBS = [
    ("Great oaks from little acorns grow.", "England"),
    ("Fall seven times, stand up eight.", "Japan"),
    ("The best time to plant a tree was twenty years ago. The second best time is now.", "China"),
    ("Little by little, the bird builds its nest.", "France"),
    ("Measure seven times, cut once.", "Russia"),
    ("However long the night, the dawn will break.", "Burkina Faso"),
    ("He who does not travel does not know the value of people.", "Algeria"),
    ("Well begun is half done.", "Greece"),
    ("Drop by drop the lake is made.", "Poland"),
    ("A smooth sea never made a skilled sailor.", "England"),
    ("Many hands make light work.", "England"),
    ("Trust, but keep the receipts.", "every accountant"),
]

SCHEMA = """
create table if not exists proverbs (
    id integer primary key,
    text varchar(200) not null unique,
    origin varchar(60) not null
)
"""


def url():
    fallback = os.path.join(os.environ.get("DATA_DIR", tempfile.gettempdir()), "proverbs.db")
    return os.environ.get("DATABASE_URL") or f"sqlite:///{fallback}"


def kind():
    return "SQLite" if url().startswith("sqlite:") else "PostgreSQL"


@contextmanager
def connection():
    """A connection for one piece of work, committed at its end and always closed."""
    if kind() == "SQLite":
        opened = sqlite3.connect(url().removeprefix("sqlite:///"), timeout=5)
    else:
        import psycopg

        opened = psycopg.connect(url(), connect_timeout=5)
    try:
        with opened:
            yield opened
    finally:
        opened.close()


def seed():
    """Makes the table and fills what is missing; can run any number of times."""
    mark = "?" if kind() == "SQLite" else "%s"
    insert = f"insert into proverbs (id, text, origin) values ({mark}, {mark}, {mark}) on conflict do nothing"
    with connection() as opened:
        cursor = opened.cursor()
        cursor.execute(SCHEMA)
        cursor.executemany(insert, [(number, *row) for number, row in enumerate(PROVERBS, start=1)])
        return cursor.execute("select count(*) from proverbs").fetchone()[0]


def random_rows(count=3):
    with connection() as opened:
        rows = opened.cursor().execute(f"select id, text, origin from proverbs order by random() limit {count:d}")
        return [{"id": id, "text": text, "origin": origin} for id, text, origin in rows.fetchall()]
