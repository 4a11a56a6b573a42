"""The tables of a history file, and the steps from each version of them to the next.

A new file goes through all steps, so there is one way to make a table. A step that was landed is
never edited: add another one.
"""

from collections.abc import Sequence

APPLICATION_ID = 0x6C6D6869
"""In the head of every history file, to tell it from other databases: "lmhi" as a number."""

_FIRST = (
    """
    CREATE TABLE array (
        sha256 TEXT PRIMARY KEY,  -- of the bytes before compression
        bytes BLOB NOT NULL       -- zlib
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE measurement (
        number INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,  -- of the record and its arrays: nothing is stored twice
        record TEXT NOT NULL,         -- JSON of the measurement, without what the arrays hold
        operators TEXT NOT NULL REFERENCES array (sha256), -- JSON
        faces TEXT NOT NULL REFERENCES array (sha256),     -- JSON of their names
        samples TEXT REFERENCES array (sha256),  -- float64, every timed run in ms, in order
        points TEXT REFERENCES array (sha256),   -- float64, (faces, landmarks, 2)
        session TEXT AS (json_extract(record, '$.session')) VIRTUAL,
        bundle TEXT AS (json_extract(record, '$.bundle')) VIRTUAL,
        variant TEXT AS (json_extract(record, '$.variant')) VIRTUAL
    )
    """,
    "CREATE INDEX by_session ON measurement (bundle, variant, session)",
)
_TRUTH_AND_REVISION = (
    # The labelled faces, as their file has them: NME can be derived where the folder is gone.
    "ALTER TABLE measurement ADD COLUMN truth TEXT REFERENCES array (sha256)",
    # Of the source that the model was built with, as git names it; empty where unknown.
    "ALTER TABLE measurement ADD COLUMN revision TEXT NOT NULL DEFAULT ''",
)

MIGRATIONS: Sequence[Sequence[str]] = (_FIRST, _TRUTH_AND_REVISION)
"""The SQL of each step; after step n the file has version n in its `user_version`."""
