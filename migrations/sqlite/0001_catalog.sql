-- What is stored, what it is called, what of it can be served, and which work is due.
-- The PostgreSQL twin has the same number, tables, columns and constraints.

-- Immutable bytes under their SHA-256; a row exists only after its bytes are durable.
CREATE TABLE objects (
    key           TEXT    NOT NULL PRIMARY KEY,      -- SHA-256, 64 lower-case hex digits
    size          INTEGER NOT NULL,                  -- bytes
    media_type    TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('stored', 'indexed', 'unservable')),
    reason        TEXT,                              -- why unservable, or the damage of what is indexed
    tid           TEXT,                              -- JPIP target identifier, once indexed
    index_version INTEGER,                           -- the index that is served
    CHECK ((state = 'indexed') = (tid IS NOT NULL AND index_version IS NOT NULL)),
    CHECK (state <> 'unservable' OR reason IS NOT NULL)
) STRICT;

-- Stored codestream indexes; an old one is served until its replacement stands.
CREATE TABLE indexes (
    object_key   TEXT    NOT NULL REFERENCES objects (key),
    version      INTEGER NOT NULL,
    size         INTEGER NOT NULL,                   -- bytes of the index object
    codestreams  INTEGER NOT NULL,
    width        INTEGER NOT NULL,                   -- reference-grid samples of the first codestream
    height       INTEGER NOT NULL,
    presentation TEXT    NOT NULL,                   -- JSON: how the logical target is presented
    PRIMARY KEY (object_key, version)
) STRICT;

-- Names that JPIP clients ask for; `serial` is the order of arrival and never reused.
CREATE TABLE targets (
    serial     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    target     TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL CHECK (kind IN ('instance', 'file', 'series')),
    object_key TEXT    REFERENCES objects (key),
    arrived_at INTEGER NOT NULL,                     -- milliseconds since 1970 UTC
    CHECK ((kind = 'series') = (object_key IS NULL))
) STRICT;
CREATE INDEX targets_object ON targets (object_key);
CREATE INDEX targets_kind ON targets (kind, serial);

-- The DICOM side of a target of kind 'instance'.
CREATE TABLE instances (
    serial              INTEGER NOT NULL PRIMARY KEY REFERENCES targets (serial),
    sop_instance_uid    TEXT    NOT NULL UNIQUE,
    series_instance_uid TEXT,
    study_instance_uid  TEXT,
    sop_class_uid       TEXT    NOT NULL,
    transfer_syntax_uid TEXT    NOT NULL,
    modality            TEXT,
    patient_id          TEXT,
    instance_number     INTEGER,
    image_rows          INTEGER,
    image_columns       INTEGER,
    number_of_frames    INTEGER,
    attributes          TEXT    NOT NULL             -- JSON: further attributes by tag
) STRICT;
CREATE INDEX instances_study ON instances (study_instance_uid, serial);
CREATE INDEX instances_series ON instances (series_instance_uid, serial);
CREATE INDEX instances_patient ON instances (patient_id, serial);
CREATE INDEX instances_modality ON instances (modality, serial);

-- Slow work, safe to run twice; a row goes when its work is done.
CREATE TABLE jobs (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind       TEXT    NOT NULL,
    object_key TEXT    NOT NULL REFERENCES objects (key),
    attempts   INTEGER NOT NULL DEFAULT 0,
    claimed_by TEXT,                                 -- node, NULL while queued
    claimed_at INTEGER,                              -- milliseconds since 1970 UTC
    UNIQUE (kind, object_key)
) STRICT;
CREATE INDEX jobs_claimed ON jobs (claimed_by, id);
