-- lowest application schema: 1
-- Every mark of a source's first answer, where `validator` has one of them. An older version reads and writes that alone:
-- it resumes by the validator, as before.

ALTER TABLE jobs
    ADD COLUMN source_marks TEXT;
