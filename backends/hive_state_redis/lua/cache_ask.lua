-- KEYS: the beat, the entries. ARGV: the name of a lease, how long it is kept (ms), "1" if gated.
-- For each entry: its flag and image, or these and how long it lives (ms); 1: the lease is given; 0: nothing.
local reply = { now, beat or '' }
if not beat or (ARGV[3] == '1' and tonumber(string.sub(beat, 45, 60)) <= now) then
    return reply
end
local entries = #KEYS > 1 and redis.call('MGET', unpack(KEYS, 2)) or {}
for i = 1, #entries do
    local entry = entries[i]
    if entry and string.sub(entry, 1, 28) == stamp then
        local found = string.sub(entry, 45)
        if string.sub(found, 1, 1) == 'x' then
            found = { found, redis.call('PTTL', KEYS[i + 1]) }
        end
        reply[i + 2] = found
    else
        local lease = lease_of(KEYS[i + 1])
        local held = redis.call('GET', lease)
        if held and string.sub(held, 1, 28) == stamp then
            reply[i + 2] = 0
        else
            redis.call('SET', lease, stamp .. ARGV[1], 'PX', ARGV[2])
            if entry then
                redis.call('DEL', KEYS[i + 1])
            end
            reply[i + 2] = 1
        end
    end
end
return reply
