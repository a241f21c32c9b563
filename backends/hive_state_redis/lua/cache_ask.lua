-- KEYS: the beat, the places. ARGV: the name of a lease, how long it is kept (ms), "1" if gated.
-- For each place: its flag and image, or these and how long it lives (ms); 1: the lease is given; 0: nothing.
local reply = { now, beat or '' }
if not beat or (ARGV[3] == '1' and tonumber(string.sub(beat, 45, 60)) <= now) then
    return reply
end
for i = 1, #places do
    local there = places[i]
    if not there or string.sub(there, 1, 28) ~= stamp then
        redis.call('SET', KEYS[i + 1], stamp .. 'L' .. ARGV[1], 'PX', ARGV[2])
        reply[i + 2] = 1
    elseif string.byte(there, 29) == LEASE then
        reply[i + 2] = 0
    else
        local found = string.sub(there, 45)
        if string.sub(found, 1, 1) == 'x' then
            found = { found, redis.call('PTTL', KEYS[i + 1]) }
        end
        reply[i + 2] = found
    end
end
return reply
