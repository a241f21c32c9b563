-- KEYS: the beat, then the entry of each record. ARGV: how long an entry is kept (ms), at most; then of each record its
-- version (16 digits), the instant at which it expires (16 digits, or blanks) and the name of the lease or nothing; and its
-- flag and image, or "" to remove what is older.
local FORGET = string.rep('0', 16)
for i = 2, #KEYS do
    local entry, told, image = KEYS[i], ARGV[2 * i - 2], ARGV[2 * i - 1]
    local version, name = string.sub(told, 1, 16), string.sub(told, 33)
    local head = stamp and redis.call('GETRANGE', entry, 0, 43)
    local there = head and string.sub(head, 1, 28) == stamp and string.sub(head, 29, 44)
    local fills = stamp and not there and name ~= '' and redis.call('GET', lease_of(entry)) == stamp .. name
    if version == FORGET or not there or there < version then
        if image ~= '' and (there or fills) then
            local last = now + tonumber(ARGV[1])
            local ends = tonumber(string.sub(told, 17, 32))
            if ends and ends < last then
                last = ends
            end
            redis.call('SET', entry, stamp .. version .. image, 'PXAT', string.format('%.0f', last))
            redis.call('DEL', lease_of(entry))
        else
            redis.call('DEL', entry, lease_of(entry))
        end
    end
end
return 1
