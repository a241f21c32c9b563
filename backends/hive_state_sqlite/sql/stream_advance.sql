-- stream_write, of a stream that is there and that nothing was appended to since ?3 was found to be its next seq.
UPDATE streams SET version = ?4, last = ?3 WHERE ns = ?1 AND stream = ?2 AND last = ?3 - 1 AND NOT dropped
