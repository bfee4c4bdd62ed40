//! The SQL text, one constant per question; both databases take `$1` and the same words, or stand side by side.

use crate::connection::Value;

/// A statement that the two databases want in different words.
pub(crate) struct PerDatabase {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// A question that is put together as it is asked: the text, and a value for each `$n` in it.
#[derive(Debug)]
pub(crate) struct Question<'v> {
    pub(crate) text: String,
    pub(crate) values: Vec<Value<'v>>,
}

impl<'v> Question<'v> {
    /// The question as it begins.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    /// Goes on with `words`, in which every `$` stands for the value.
    pub(crate) fn with(mut self, words: &'static str, value: impl Into<Value<'v>>) -> Self {
        self.values.push(value.into());
        self.text.push_str(&words.replace('$', &format!("${}", self.values.len())));
        self
    }
}

/// Adds an object unless it is there.
pub(crate) const INSERT_OBJECT: &str = "
    INSERT INTO objects (key, size, media_type, state, reason) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (key) DO NOTHING";

/// Adds a target and returns its serial.
pub(crate) const INSERT_TARGET: &str = "
    INSERT INTO targets (target, kind, object_key, arrived_at) VALUES ($1, $2, $3, $4) RETURNING serial";

/// Adds the DICOM side of a target.
pub(crate) const INSERT_INSTANCE: &str = "
    INSERT INTO instances (serial, sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid,
        transfer_syntax_uid, modality, patient_id, instance_number, image_rows, image_columns, number_of_frames,
        attributes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// Adds an instance whose object, index and target are new as well, in one way to the database and back; where any of
/// them is there already, a unique key refuses all of it.
pub(crate) const INSERT_INDEXED_INSTANCE: PerDatabase = PerDatabase {
    sqlite: "
    INSERT INTO objects (key, size, media_type, state, reason, tid, index_version)
    VALUES ($1, $2, $3, 'indexed', $4, $5, $6);
    INSERT INTO indexes (object_key, version, size, codestreams, width, height, presentation)
    VALUES ($1, $6, $7, $8, $9, $10, $11);
    INSERT INTO targets (target, kind, object_key, arrived_at) VALUES ($13, 'instance', $1, $12);
    INSERT INTO instances (serial, sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid,
        transfer_syntax_uid, modality, patient_id, instance_number, image_rows, image_columns, number_of_frames,
        attributes)
    VALUES (last_insert_rowid(), $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24);
    INSERT INTO studies (study_instance_uid, study_date, patient_id, accession_number, alphabetic_name,
        ideographic_name, phonetic_name, words, attributes)
    SELECT $15, $25, $26, $27, $28, $29, $30, $31, $32 WHERE $15 IS NOT NULL AND $14 IS NOT NULL
    ON CONFLICT (study_instance_uid) DO NOTHING;
    INSERT INTO series (study_instance_uid, series_instance_uid, modality, attributes, instances)
    SELECT $15, $14, $33, $34, 1 WHERE $15 IS NOT NULL AND $14 IS NOT NULL
    ON CONFLICT (study_instance_uid, series_instance_uid) DO UPDATE SET instances = series.instances + 1",
    postgres: "
    WITH new_object AS (
        INSERT INTO objects (key, size, media_type, state, reason, tid, index_version)
        VALUES ($1, $2, $3, 'indexed', $4, $5, $6)),
    new_index AS (
        INSERT INTO indexes (object_key, version, size, codestreams, width, height, presentation)
        VALUES ($1, $6, $7, $8, $9, $10, $11)),
    new_target AS (
        INSERT INTO targets (target, kind, object_key, arrived_at) VALUES ($13, 'instance', $1, $12) RETURNING serial),
    new_study AS (
        INSERT INTO studies (study_instance_uid, study_date, patient_id, accession_number, alphabetic_name,
            ideographic_name, phonetic_name, words, attributes)
        SELECT $15, $25, $26, $27, $28, $29, $30, $31, $32 WHERE $15 IS NOT NULL AND $14 IS NOT NULL
        ON CONFLICT (study_instance_uid) DO NOTHING),
    new_series AS (
        INSERT INTO series (study_instance_uid, series_instance_uid, modality, attributes, instances)
        SELECT $15, $14, $33, $34, 1 WHERE $15 IS NOT NULL AND $14 IS NOT NULL
        ON CONFLICT (study_instance_uid, series_instance_uid) DO UPDATE SET instances = series.instances + 1)
    INSERT INTO instances (serial, sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid,
        transfer_syntax_uid, modality, patient_id, instance_number, image_rows, image_columns, number_of_frames,
        attributes)
    SELECT serial, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24 FROM new_target",
};

/// Adds a study unless it is there.
pub(crate) const INSERT_STUDY: &str = "
    INSERT INTO studies (study_instance_uid, study_date, patient_id, accession_number, alphabetic_name,
        ideographic_name, phonetic_name, words, attributes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (study_instance_uid) DO NOTHING";

/// Adds a series unless it is there, and counts one instance more.
pub(crate) const COUNT_IN_SERIES: &str = "
    INSERT INTO series (study_instance_uid, series_instance_uid, modality, attributes, instances)
    VALUES ($1, $2, $3, $4, 1)
    ON CONFLICT (study_instance_uid, series_instance_uid) DO UPDATE SET instances = series.instances + 1";

/// Begins the filling of the levels, which no other node does meanwhile.
pub(crate) const BEGIN_LEVELS: PerDatabase =
    PerDatabase { sqlite: "BEGIN IMMEDIATE", postgres: "BEGIN; LOCK TABLE studies IN SHARE ROW EXCLUSIVE MODE" };

/// A row if instances were catalogued before there were levels.
pub(crate) const LEVELS_ARE_MISSING: &str = "
    SELECT 1 AS missing WHERE NOT EXISTS (SELECT 1 FROM studies) AND EXISTS (
        SELECT 1 FROM instances WHERE study_instance_uid IS NOT NULL AND series_instance_uid IS NOT NULL)";

/// Instances by serial, for their levels.
pub(crate) const INSTANCES_TO_LEVEL: &str = "
    SELECT serial, study_instance_uid, series_instance_uid, attributes FROM instances
    WHERE serial > $1 ORDER BY serial LIMIT 500";

/// Takes an instance and its name away; what is left of the object is seen to by the statements after it.
pub(crate) const INSTANCE_TO_DELETE: &str = "
    SELECT i.serial, i.study_instance_uid, i.series_instance_uid, t.object_key
    FROM instances i JOIN targets t ON t.serial = i.serial WHERE i.sop_instance_uid = $1";
pub(crate) const DELETE_INSTANCE: &str = "DELETE FROM instances WHERE serial = $1";
pub(crate) const DELETE_TARGET: &str = "DELETE FROM targets WHERE serial = $1";
pub(crate) const UNCOUNT_IN_SERIES: &str = "
    UPDATE series SET instances = instances - 1 WHERE study_instance_uid = $1 AND series_instance_uid = $2";
pub(crate) const DELETE_EMPTY_SERIES: &str =
    "DELETE FROM series WHERE study_instance_uid = $1 AND series_instance_uid = $2 AND instances <= 0
    AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.series_instance_uid = $2 AND i.study_instance_uid = $1)";
pub(crate) const DELETE_EMPTY_STUDY: &str = "
    DELETE FROM studies WHERE study_instance_uid = $1
    AND NOT EXISTS (SELECT 1 FROM series WHERE series.study_instance_uid = studies.study_instance_uid)";

/// Whether a name still points to an object.
pub(crate) const NAMES_OF_OBJECT: &str = "SELECT serial FROM targets WHERE object_key = $1 LIMIT 1";
pub(crate) const DELETE_JOBS_OF: &str = "DELETE FROM jobs WHERE object_key = $1";
pub(crate) const DELETE_INDEXES_OF: &str = "DELETE FROM indexes WHERE object_key = $1";
pub(crate) const DELETE_OBJECT: &str = "DELETE FROM objects WHERE key = $1";

/// What a name points to.
pub(crate) const POINTS_TO: &str = "SELECT kind, object_key FROM targets WHERE target = $1";

/// Makes a name point to another object.
pub(crate) const POINT_TO: &str = "UPDATE targets SET object_key = $2, arrived_at = $3 WHERE target = $1";

/// Queues a job unless it is queued or running; one that failed is tried again.
pub(crate) const INSERT_JOB: &str = "
    INSERT INTO jobs (kind, object_key) VALUES ($1, $2)
    ON CONFLICT (kind, object_key) DO UPDATE SET failure = NULL, attempts = 0 WHERE jobs.failure IS NOT NULL";

/// The state of an object.
pub(crate) const OBJECT_STATE: &str = "SELECT state FROM objects WHERE key = $1";

/// Whether there is a row of an index, served or not.
pub(crate) const INDEX: &str = "SELECT version FROM indexes WHERE object_key = $1 AND version = $2";

/// Adds an index, or replaces the facts of one of the same version.
pub(crate) const UPSERT_INDEX: &str = "
    INSERT INTO indexes (object_key, version, size, codestreams, width, height, presentation)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (object_key, version) DO UPDATE SET size = excluded.size, codestreams = excluded.codestreams,
        width = excluded.width, height = excluded.height, presentation = excluded.presentation";

/// Makes an object servable.
pub(crate) const SET_INDEXED: &str = "
    UPDATE objects SET state = 'indexed', reason = $2, tid = $3, index_version = $4,
        media_type = COALESCE($5, media_type)
    WHERE key = $1";

/// Makes an object unservable; what is served already stays.
pub(crate) const SET_UNSERVABLE: &str = "
    UPDATE objects SET state = 'unservable', reason = $2 WHERE key = $1 AND state <> 'indexed'";

/// Gives an object another try whose work failed for a reason outside of it.
pub(crate) const FORGIVE_FAILURE: &str = "
    UPDATE objects SET state = 'stored', reason = NULL
    WHERE key = $1 AND state = 'unservable' AND reason LIKE 'failed:%'";

/// Forgets the index that is served of an object.
pub(crate) const DELETE_SERVED_INDEX: &str = "
    DELETE FROM indexes
    WHERE object_key = $1 AND version = (SELECT index_version FROM objects WHERE key = $1 AND state = 'indexed')";

/// Makes an object that is or may become servable wait for its index.
pub(crate) const SET_STORED: &str = "
    UPDATE objects SET state = 'stored', reason = NULL, tid = NULL, index_version = NULL
    WHERE key = $1 AND state <> 'unservable'";

/// Ends the jobs of an object with a failure that stays to be looked at.
pub(crate) const FAIL_JOBS_OF: &str = "
    UPDATE jobs SET failure = $2, claimed_by = NULL, claimed_at = NULL WHERE object_key = $1";

/// The job of an object that is queued or running.
pub(crate) const JOB_OF: &str = "SELECT id FROM jobs WHERE kind = $1 AND object_key = $2 AND failure IS NULL";

/// Ends the job of an object.
pub(crate) const DELETE_JOB_OF: &str = "DELETE FROM jobs WHERE kind = $1 AND object_key = $2";

/// Claims the oldest queued jobs. SQLite has one writer at a time; on PostgreSQL other nodes claim meanwhile: what they
/// are about to have is passed over. MATERIALIZED there, because a plan may run a plain subquery, and thus its LIMIT,
/// more than once.
pub(crate) const CLAIM_JOBS: PerDatabase = PerDatabase {
    sqlite: "
    UPDATE jobs SET claimed_by = $2, claimed_at = $3, attempts = attempts + 1
    WHERE id IN (SELECT id FROM jobs WHERE kind = $1 AND claimed_by IS NULL AND failure IS NULL ORDER BY id LIMIT $4)
    RETURNING id, object_key, attempts, (SELECT size FROM objects WHERE key = object_key) AS size",
    postgres: "
    WITH due AS MATERIALIZED (
        SELECT id FROM jobs WHERE kind = $1 AND claimed_by IS NULL AND failure IS NULL ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED)
    UPDATE jobs SET claimed_by = $2, claimed_at = $3, attempts = attempts + 1
    FROM due WHERE jobs.id = due.id
    RETURNING jobs.id, object_key, attempts, (SELECT size FROM objects WHERE key = object_key) AS size",
};

/// Puts a claimed job back into the queue as if it had not been begun.
pub(crate) const RELEASE_JOB: &str = "
    UPDATE jobs SET claimed_by = NULL, claimed_at = NULL, attempts = attempts - 1
    WHERE id = $1 AND claimed_by IS NOT NULL";

/// As above, for all that a node has claimed.
pub(crate) const RELEASE_CLAIMED: &str = "
    UPDATE jobs SET claimed_by = NULL, claimed_at = NULL, attempts = attempts - 1 WHERE claimed_by = $1";

/// Puts all that a node has claimed back into the queue.
pub(crate) const REQUEUE_CLAIMED: &str = "UPDATE jobs SET claimed_by = NULL, claimed_at = NULL WHERE claimed_by = $1";

/// Puts what was claimed at that time or before back into the queue, whoever claimed it.
pub(crate) const REQUEUE_STALE: &str =
    "UPDATE jobs SET claimed_by = NULL, claimed_at = NULL WHERE claimed_by IS NOT NULL AND claimed_at <= $1";

/// Queued jobs that were begun too often.
pub(crate) const WORN_JOBS: &str = "
    SELECT object_key FROM jobs WHERE claimed_by IS NULL AND failure IS NULL AND attempts >= $1
    ORDER BY id LIMIT 1000";

/// Makes an object servable by another that is made of it.
pub(crate) const SET_DERIVED: &str = "
    UPDATE objects SET state = 'indexed', reason = $2, tid = $3, index_version = $4, derived_key = $5 WHERE key = $1";

/// What an object is served from in its place.
pub(crate) const DERIVED_OF: &str = "SELECT derived_key FROM objects WHERE key = $1 AND derived_key IS NOT NULL";

/// What an object is made of.
pub(crate) const ORIGINS_OF: &str = "SELECT key FROM objects WHERE derived_key = $1";

/// Makes an object wait for another to be made of it.
pub(crate) const SET_UNDERIVED: &str = "
    UPDATE objects SET state = 'stored', reason = NULL, tid = NULL, index_version = NULL, derived_key = NULL
    WHERE key = $1";

/// Queues what became unservable while nothing was made of objects that are not JPEG 2000.
pub(crate) const QUEUE_DERIVATIONS: &str = "
    INSERT INTO jobs (kind, object_key)
    SELECT 'derive', key FROM objects WHERE state = 'unservable' AND reason LIKE 'not-jpeg2000:%'
    ON CONFLICT (kind, object_key) DO UPDATE SET failure = NULL, attempts = 0";
pub(crate) const AWAIT_DERIVATIONS: &str = "
    UPDATE objects SET state = 'stored', reason = NULL WHERE state = 'unservable' AND reason LIKE 'not-jpeg2000:%'";

/// Puts a job that failed back into the queue, and its object with it.
pub(crate) const AWAIT_RETRY: &str = "
    UPDATE objects SET state = 'stored', reason = NULL WHERE state = 'unservable'
    AND key = (SELECT object_key FROM jobs WHERE id = $1 AND failure IS NOT NULL)";
pub(crate) const RETRY_JOB: &str = "UPDATE jobs SET failure = NULL, attempts = 0 WHERE id = $1 AND failure IS NOT NULL";

/// Jobs with the first name of their object; the caller adds where to go on.
pub(crate) const JOBS: &str = "
    SELECT j.id AS serial, j.kind, j.object_key, j.attempts, j.claimed_by, j.failure, o.size,
        (SELECT t.target FROM targets t WHERE t.object_key = j.object_key ORDER BY t.serial LIMIT 1) AS target
    FROM jobs j JOIN objects o ON o.key = j.object_key";

const TARGET_COLUMNS: &str = "t.serial, t.target, t.kind, o.key, o.size, o.media_type, o.state, o.reason, o.tid,
        COALESCE(o.derived_key, o.key) AS served_key, x.version, x.size AS index_size, x.codestreams, x.width, x.height,
        x.presentation";

const TARGET_TABLES: &str = "targets t
    JOIN objects o ON o.key = t.object_key
    LEFT JOIN indexes x ON x.object_key = COALESCE(o.derived_key, o.key) AND x.version = o.index_version";

/// Targets with everything that serving them needs; the caller adds the condition.
pub(crate) fn targets(rest: &str) -> String {
    format!("SELECT {TARGET_COLUMNS} FROM {TARGET_TABLES} {rest}")
}

/// One target by name.
pub(crate) const TARGET_BY_NAME: &str = "WHERE t.target = $1";

/// A target by its identifier; of several names for the same content the one that came first.
pub(crate) const TARGET_BY_TID: &str = "WHERE o.tid = $1 ORDER BY t.serial LIMIT 1";

/// The targets that a bare `/jpip` may mean: files, and instances with an image; two are enough to know.
pub(crate) const ONLY_TARGET: &str = "
    WHERE t.kind = 'file' OR (t.kind = 'instance' AND NOT (o.state = 'unservable' AND o.reason LIKE 'no-pixel-data:%'))
    ORDER BY t.serial LIMIT 2";

/// The order in which the frames of a series count.
const SERIES_ORDER: &str = "i.instance_number IS NULL, i.instance_number, i.sop_instance_uid";

/// The instances of a series in their order.
pub(crate) fn series_targets() -> String {
    let rest = "JOIN instances i ON i.serial = t.serial WHERE i.series_instance_uid = $1";
    targets(&format!("{rest} ORDER BY {SERIES_ORDER} LIMIT $2"))
}

/// Series in the order in which the first instance of each arrived, each with its instances in their order: so many
/// series ($2) after that arrival ($1), and so many instances in all ($3).
pub(crate) fn series() -> String {
    format!(
        "WITH s AS (
            SELECT f.serial, f.series_instance_uid FROM instances f
            WHERE f.series_instance_uid IS NOT NULL AND f.serial > $1 AND NOT EXISTS (
                SELECT 1 FROM instances e
                WHERE e.series_instance_uid = f.series_instance_uid AND e.serial < f.serial)
            ORDER BY f.serial LIMIT $2)
        SELECT s.serial AS first_serial, s.series_instance_uid, {TARGET_COLUMNS}
        FROM s JOIN instances i ON i.series_instance_uid = s.series_instance_uid, {TARGET_TABLES}
        WHERE t.serial = i.serial
        ORDER BY s.serial, {SERIES_ORDER} LIMIT $3"
    )
}

/// Instances with their state; the caller adds the condition.
pub(crate) const INSTANCES: &str = "
    SELECT i.serial, i.sop_instance_uid, i.series_instance_uid, i.study_instance_uid, i.sop_class_uid,
        i.transfer_syntax_uid, i.modality, i.instance_number, i.image_rows, i.image_columns, i.number_of_frames,
        o.key, o.size, o.state, o.reason, o.tid
    FROM instances i
    JOIN targets t ON t.serial = i.serial
    JOIN objects o ON o.key = t.object_key";

/// What a listing of instances may ask for. Modality and Patient ID may be of any length in a hostile object, more than
/// a PostgreSQL index takes: theirs hold the beginning, and the question names it so that they are used.
pub(crate) const OF_STUDY: &str = " AND i.study_instance_uid = $";
pub(crate) const OF_SERIES: &str = " AND i.series_instance_uid = $";
pub(crate) const OF_INSTANCE: &str = " AND i.sop_instance_uid = $";
pub(crate) const OF_MODALITY: &str = " AND i.modality = $ AND substr(i.modality, 1, 64) = substr($, 1, 64)";
pub(crate) const OF_PATIENT: &str = " AND i.patient_id = $ AND substr(i.patient_id, 1, 64) = substr($, 1, 64)";

/// Stored objects in the order of their keys, with the index that is served of them.
pub(crate) const OBJECTS: &str = "
    SELECT o.key, o.size, o.state, COALESCE(o.derived_key, o.key) AS served_key, x.version AS index_version,
        x.size AS index_size, (SELECT COUNT(*) FROM objects p WHERE p.derived_key = o.key) AS origins
    FROM objects o
    LEFT JOIN indexes x ON x.object_key = COALESCE(o.derived_key, o.key) AND x.version = o.index_version
    WHERE o.key > $1 ORDER BY o.key LIMIT $2";

/// How much there is.
pub(crate) const COUNTS: &str = "
    SELECT (SELECT COUNT(*) FROM targets WHERE kind = 'instance') AS instances,
        (SELECT COUNT(*) FROM targets WHERE kind = 'file') AS files,
        (SELECT COUNT(*) FROM jobs WHERE failure IS NULL) AS jobs,
        (SELECT COUNT(*) FROM jobs WHERE failure IS NOT NULL) AS failed_jobs";

/// Whether the database answers.
pub(crate) const PING: &str = "SELECT 1";
