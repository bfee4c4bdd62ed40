-- Studies and series as their first instance described them, for queries on these levels [PS3.4 C.6.1].
-- The PostgreSQL twin has the same number, tables and columns.

CREATE TABLE studies (
    serial             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    study_instance_uid TEXT    NOT NULL UNIQUE,
    study_date         TEXT,
    patient_id         TEXT,
    accession_number   TEXT,
    alphabetic_name    TEXT,                         -- of the patient, each folded: no case, no accents
    ideographic_name   TEXT,
    phonetic_name      TEXT,
    words              TEXT    NOT NULL,             -- what a search for words finds, folded
    attributes         TEXT    NOT NULL              -- JSON: of patient and study, by tag
) STRICT;
CREATE INDEX studies_date ON studies (study_date, serial);
CREATE INDEX studies_patient ON studies (patient_id, serial);
CREATE INDEX studies_accession ON studies (accession_number, serial);
CREATE INDEX studies_alphabetic ON studies (alphabetic_name, serial);
CREATE INDEX studies_ideographic ON studies (ideographic_name, serial) WHERE ideographic_name IS NOT NULL;
CREATE INDEX studies_phonetic ON studies (phonetic_name, serial) WHERE phonetic_name IS NOT NULL;

-- A Series Instance UID that came in two studies is two series.
CREATE TABLE series (
    serial              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    study_instance_uid  TEXT    NOT NULL REFERENCES studies (study_instance_uid),
    series_instance_uid TEXT    NOT NULL,
    modality            TEXT,
    instances           INTEGER NOT NULL,
    attributes          TEXT    NOT NULL,            -- JSON: of the series, by tag
    UNIQUE (study_instance_uid, series_instance_uid)
) STRICT;
CREATE INDEX series_uid ON series (series_instance_uid);

-- The words of the studies, kept in step by the database itself.
CREATE VIRTUAL TABLE study_words USING fts5 (words, content = 'studies', content_rowid = 'serial', tokenize = 'unicode61');
CREATE TRIGGER study_comes AFTER INSERT ON studies BEGIN
    INSERT INTO study_words (rowid, words) VALUES (new.serial, new.words);
END;
CREATE TRIGGER study_goes AFTER DELETE ON studies BEGIN
    INSERT INTO study_words (study_words, rowid, words) VALUES ('delete', old.serial, old.words);
END;
