-- Who trains, and under which epoch: one training goes on at a time.
CREATE TABLE IF NOT EXISTS foreshadow.training (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL,
    owner text,
    expires_at timestamptz NOT NULL,
    -- When the last training was done.
    done_at timestamptz
);
