-- lowest application schema: 1
-- Since when Vimeo has refused a job's requests after its last byte, and since when it has answered 404 to a question for
-- the video. Nothing: it does not. An older version leaves them as they are, which only lets a later one fail a job sooner;
-- no video is deleted for it.
ALTER TABLE jobs ADD COLUMN refused_since INTEGER;
ALTER TABLE jobs ADD COLUMN missing_since INTEGER;
