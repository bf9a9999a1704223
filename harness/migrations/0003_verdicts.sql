-- What became of claims: a row for each claim whenever they are checked, with the run whose figures were the newest then.

CREATE TABLE verdict (
    run_id TEXT NOT NULL REFERENCES run (id),
    position INTEGER NOT NULL,
    claim_id TEXT NOT NULL,
    claim TEXT NOT NULL,
    word TEXT NOT NULL,
    found TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts TEXT NOT NULL,
    PRIMARY KEY (run_id, claim_id)
);
