-- Numbers of a part of an image: a record may name its region. And what is published about the methods of a run, as
-- JSON by method, so that the page can set it beside what was measured.

ALTER TABLE record ADD COLUMN region TEXT;

ALTER TABLE run ADD COLUMN published TEXT;

DROP VIEW measurement;

CREATE VIEW measurement AS
SELECT
    record.attempt_id, record.position, attempt.task_key, attempt.kind, attempt.run_id, attempt.ended_at,
    record.metric, record.value, record.status, record.reason, record.dataset, record.image, record.region, record.size,
    record.module, record.step, record.repeat, attempt.protocol_id, protocol.comparable, attempt.spec,
    run.commit_id, run.dirty, run.versions, run.machine_id
FROM record
JOIN attempt ON attempt.id = record.attempt_id
JOIN protocol ON protocol.id = attempt.protocol_id
JOIN run ON run.id = attempt.run_id;
