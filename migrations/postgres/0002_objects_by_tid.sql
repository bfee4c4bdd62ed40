-- Clients that kept a target identifier, and nothing else, ask by it.
CREATE INDEX objects_tid ON objects (tid);
