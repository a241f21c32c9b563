-- What all scripts of the cache begin with. KEYS[1] holds the beat: run (12), epoch, began, until (16 digits each).
-- An entry is its stamp (28: run and epoch), version (16 digits), "x" if it expires or "-", and the packed image; a
-- lease is a stamp and the holder's name. What has another stamp is absent. Keys of leases are not among KEYS: they are made
-- of those of entries, and have the same hash tag.
local run = string.sub(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 1, 12)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local beat = redis.call('GET', KEYS[1])
if beat and string.sub(beat, 1, 12) ~= run then
    beat = false
end
local stamp = beat and string.sub(beat, 1, 28)
local prefix = string.sub(KEYS[1], 1, -5)
local function lease_of(entry)
    return prefix .. 'l:' .. string.sub(entry, #prefix + 3)
end
