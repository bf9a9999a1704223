-- The store: append only, long format. Ids are made by the writer, so that several writers and merged stores never
-- collide. Portable between SQLite and PostgreSQL: text, double precision, integer, nothing else.

CREATE TABLE machine (
    id TEXT PRIMARY KEY,
    description TEXT NOT NULL
);

CREATE TABLE run (
    id TEXT PRIMARY KEY,
    grid_name TEXT NOT NULL,
    grid TEXT NOT NULL,
    command TEXT NOT NULL,
    started_at TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    dirty INTEGER NOT NULL,
    versions TEXT NOT NULL,
    machine_id TEXT NOT NULL REFERENCES machine (id)
);

CREATE TABLE cell (
    id TEXT PRIMARY KEY,
    spec TEXT NOT NULL
);

-- What a run asked for. A task whose key is settled already is not attempted again: the run finds it by its key.
CREATE TABLE wanted (
    run_id TEXT NOT NULL REFERENCES run (id),
    position INTEGER NOT NULL,
    cell_id TEXT NOT NULL REFERENCES cell (id),
    label TEXT NOT NULL,
    task_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (run_id, position)
);

CREATE TABLE protocol (
    id TEXT PRIMARY KEY,
    comparable TEXT NOT NULL,
    spec TEXT NOT NULL
);

CREATE TABLE attempt (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES run (id),
    task_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    spec TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    ended_at TEXT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    protocol_id TEXT NOT NULL REFERENCES protocol (id)
);

CREATE INDEX attempt_by_task ON attempt (task_key, status);

CREATE TABLE record (
    attempt_id TEXT NOT NULL REFERENCES attempt (id),
    position INTEGER NOT NULL,
    metric TEXT NOT NULL,
    value DOUBLE PRECISION,
    status TEXT NOT NULL,
    reason TEXT,
    dataset TEXT,
    image TEXT,
    size TEXT,
    module TEXT,
    step INTEGER,
    repeat INTEGER NOT NULL,
    PRIMARY KEY (attempt_id, position),
    CHECK ((value IS NOT NULL) = (status = 'done'))
);

-- Content in base64, once per content.
CREATE TABLE blob (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL
);

CREATE TABLE artifact (
    attempt_id TEXT NOT NULL REFERENCES attempt (id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    dataset TEXT NOT NULL,
    image TEXT NOT NULL,
    blob_id TEXT NOT NULL REFERENCES blob (id),
    PRIMARY KEY (attempt_id, position)
);

-- Every number with what it means, in one flat table: pandas.read_sql("SELECT * FROM measurement", engine).
CREATE VIEW measurement AS
SELECT
    record.attempt_id, record.position, attempt.task_key, attempt.kind, attempt.run_id, attempt.ended_at,
    record.metric, record.value, record.status, record.reason, record.dataset, record.image, record.size,
    record.module, record.step, record.repeat, attempt.protocol_id, protocol.comparable, attempt.spec,
    run.commit_id, run.dirty, run.versions, run.machine_id
FROM record
JOIN attempt ON attempt.id = record.attempt_id
JOIN protocol ON protocol.id = attempt.protocol_id
JOIN run ON run.id = attempt.run_id;
