-- What all scripts of the cache begin with. KEYS[1] holds the beat: run (12), epoch, began, until (16 digits each).
-- At the place of a record lies an entry: its stamp (28: run and epoch), version (16 digits), "x" if it expires or "-", and the
-- packed image; or a lease: a stamp, "L" and the holder's name. What has another stamp is absent.
local run = string.sub(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 1, 12)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local beat = redis.call('GET', KEYS[1])
if beat and string.sub(beat, 1, 12) ~= run then
    beat = false
end
local stamp = beat and string.sub(beat, 1, 28)
local places = #KEYS > 1 and redis.call('MGET', unpack(KEYS, 2)) or {}
local LEASE = string.byte('L')
