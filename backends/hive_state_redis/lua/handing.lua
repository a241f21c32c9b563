-- What a claim hands out: the parts of its reply, of which the first is the summary, and the bytes that values may
-- still take.
local handed, room_left
