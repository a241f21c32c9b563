-- KEYS: the beat, then entry and lease of each record. ARGV: how long an entry is kept (ms), at most; then of each
-- record the name of the lease or "", its version (16 digits), the instant at which it expires or "", and its flag
-- and image, or "" to remove what is older.
local FORGET = string.rep('0', 16)
for i = 1, (#KEYS - 1) / 2 do
    local entry, lease = KEYS[2 * i], KEYS[2 * i + 1]
    local version, ends, image = ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1]
    local name = ARGV[4 * i - 2]
    local head = stamp and redis.call('GETRANGE', entry, 0, 43)
    local there = head and string.sub(head, 1, 28) == stamp and string.sub(head, 29, 44)
    local fills = stamp and not there and name ~= '' and redis.call('GET', lease) == stamp .. name
    if version == FORGET or not there or there < version then
        if image ~= '' and (there or fills) then
            local last = now + tonumber(ARGV[1])
            if ends ~= '' and tonumber(ends) < last then
                last = tonumber(ends)
            end
            redis.call('SET', entry, stamp .. version .. image, 'PXAT', string.format('%.0f', last))
            redis.call('DEL', lease)
        else
            redis.call('DEL', entry, lease)
        end
    end
end
return 1
