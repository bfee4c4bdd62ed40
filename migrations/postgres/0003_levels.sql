-- Studies and series as their first instance described them, for queries on these levels [PS3.4 C.6.1].
-- The SQLite twin has the same number, tables and columns. Texts of a hostile object may be of any length, an index row
-- may not: it holds their beginning.

CREATE TABLE studies (
    serial             BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    study_instance_uid TEXT COLLATE "C" NOT NULL UNIQUE,
    study_date         TEXT COLLATE "C",
    patient_id         TEXT COLLATE "C",
    accession_number   TEXT COLLATE "C",
    alphabetic_name    TEXT COLLATE "C",             -- of the patient, each folded: no case, no accents
    ideographic_name   TEXT COLLATE "C",
    phonetic_name      TEXT COLLATE "C",
    words              TEXT    NOT NULL,             -- what a search for words finds, folded
    attributes         TEXT    NOT NULL              -- JSON: of patient and study, by tag
);
CREATE INDEX studies_date ON studies (substr(study_date, 1, 64), serial);
CREATE INDEX studies_patient ON studies (substr(patient_id, 1, 64), serial);
CREATE INDEX studies_accession ON studies (substr(accession_number, 1, 64), serial);
CREATE INDEX studies_alphabetic ON studies (substr(alphabetic_name, 1, 64), serial);
CREATE INDEX studies_ideographic ON studies (substr(ideographic_name, 1, 64), serial) WHERE ideographic_name IS NOT NULL;
CREATE INDEX studies_phonetic ON studies (substr(phonetic_name, 1, 64), serial) WHERE phonetic_name IS NOT NULL;
CREATE INDEX studies_words ON studies USING gin (to_tsvector('simple', words));

-- A Series Instance UID that came in two studies is two series.
CREATE TABLE series (
    serial              BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    study_instance_uid  TEXT COLLATE "C" NOT NULL REFERENCES studies (study_instance_uid),
    series_instance_uid TEXT COLLATE "C" NOT NULL,
    modality            TEXT COLLATE "C",
    instances           BIGINT  NOT NULL,
    attributes          TEXT    NOT NULL,            -- JSON: of the series, by tag
    UNIQUE (study_instance_uid, series_instance_uid)
);
CREATE INDEX series_uid ON series (series_instance_uid);
