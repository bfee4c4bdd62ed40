-- Clients that kept a target identifier, and nothing else, ask by it.
CREATE INDEX objects_tid ON objects (tid);

-- Files of the JP2 family have other metadata-bins from now on, so they need other target identifiers: they are indexed
-- again. DICOM objects and bare codestreams stay as they are.
UPDATE objects SET state = 'stored', reason = NULL, tid = NULL, index_version = NULL
WHERE state = 'indexed' AND media_type IN ('image/jp2', 'image/jpx', 'image/jph', 'image/jpm', 'video/mj2');
INSERT INTO jobs (kind, object_key)
SELECT 'index', o.key FROM objects o
WHERE o.state = 'stored' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.kind = 'index' AND j.object_key = o.key);
