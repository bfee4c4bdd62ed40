-- Objects whose pixel data is not JPEG 2000 are served from an object that is made of them; jobs that failed stay to be
-- looked at and to be tried again. The PostgreSQL twin has the same number, tables and columns.
ALTER TABLE objects ADD COLUMN derived_key TEXT REFERENCES objects (key); -- what is served in place of the object itself
CREATE INDEX objects_derived ON objects (derived_key) WHERE derived_key IS NOT NULL;

ALTER TABLE jobs ADD COLUMN failure TEXT;            -- why it failed, NULL while it is queued or running
