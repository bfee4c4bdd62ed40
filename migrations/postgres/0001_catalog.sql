-- What is stored, what it is called, what of it can be served, and which work is due.
-- The SQLite twin has the same number, tables, columns and constraints. COLLATE "C" is SQLite's order: byte by byte.

-- Immutable bytes under their SHA-256; a row exists only after its bytes are durable.
CREATE TABLE objects (
    key           TEXT COLLATE "C" NOT NULL PRIMARY KEY,      -- SHA-256, 64 lower-case hex digits
    size          BIGINT  NOT NULL,                  -- bytes
    media_type    TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('stored', 'indexed', 'unservable')),
    reason        TEXT,                              -- why unservable, or the damage of what is indexed
    tid           TEXT,                              -- JPIP target identifier, once indexed
    index_version BIGINT,                           -- the index that is served
    CHECK ((state = 'indexed') = (tid IS NOT NULL AND index_version IS NOT NULL)),
    CHECK (state <> 'unservable' OR reason IS NOT NULL)
);

-- Stored codestream indexes; an old one is served until its replacement stands.
CREATE TABLE indexes (
    object_key   TEXT COLLATE "C" NOT NULL REFERENCES objects (key),
    version      BIGINT  NOT NULL,
    size         BIGINT  NOT NULL,                   -- bytes of the index object
    codestreams  BIGINT  NOT NULL,
    width        BIGINT  NOT NULL,                   -- reference-grid samples of the first codestream
    height       BIGINT  NOT NULL,
    presentation TEXT    NOT NULL,                   -- JSON: how the logical target is presented
    PRIMARY KEY (object_key, version)
);

-- Names that JPIP clients ask for; `serial` is the order of arrival and never reused.
CREATE TABLE targets (
    serial     BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target     TEXT COLLATE "C" NOT NULL UNIQUE,
    kind       TEXT    NOT NULL CHECK (kind IN ('instance', 'file', 'series')),
    object_key TEXT COLLATE "C" REFERENCES objects (key),
    arrived_at BIGINT  NOT NULL,                     -- milliseconds since 1970 UTC
    CHECK ((kind = 'series') = (object_key IS NULL))
);
CREATE INDEX targets_object ON targets (object_key);
CREATE INDEX targets_kind ON targets (kind, serial);

-- The DICOM side of a target of kind 'instance'.
CREATE TABLE instances (
    serial              BIGINT  NOT NULL PRIMARY KEY REFERENCES targets (serial),
    sop_instance_uid    TEXT COLLATE "C" NOT NULL UNIQUE,
    series_instance_uid TEXT COLLATE "C",
    study_instance_uid  TEXT COLLATE "C",
    sop_class_uid       TEXT    NOT NULL,
    transfer_syntax_uid TEXT    NOT NULL,
    modality            TEXT,
    patient_id          TEXT,
    instance_number     BIGINT,
    image_rows          BIGINT,
    image_columns       BIGINT,
    number_of_frames    BIGINT,
    attributes          TEXT    NOT NULL             -- JSON: further attributes by tag
);
CREATE INDEX instances_study ON instances (study_instance_uid, serial);
CREATE INDEX instances_series ON instances (series_instance_uid, serial);
-- These two may be of any length in a hostile object, an index row may not.
CREATE INDEX instances_patient ON instances (substr(patient_id, 1, 64), serial);
CREATE INDEX instances_modality ON instances (substr(modality, 1, 64), serial);

-- Slow work, safe to run twice; a row goes when its work is done.
CREATE TABLE jobs (
    id         BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       TEXT    NOT NULL,
    object_key TEXT COLLATE "C" NOT NULL REFERENCES objects (key),
    attempts   BIGINT  NOT NULL DEFAULT 0,
    claimed_by TEXT,                                 -- node, NULL while queued
    claimed_at BIGINT,                              -- milliseconds since 1970 UTC
    UNIQUE (kind, object_key)
);
CREATE INDEX jobs_claimed ON jobs (claimed_by, id);
