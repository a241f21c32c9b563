-- KEYS: the beat, then the places, each once. ARGV: how long an entry is kept (ms), at most; then of each record its
-- version (16 digits), the instant at which it expires (16 digits, or blanks) and the name of the lease or nothing; and its
-- flag and image, or "" to remove what is older.
local FORGET = string.rep('0', 16)
local last, gone = now + tonumber(ARGV[1]), {}
for i = 1, #places do
    local there, told, image = places[i], ARGV[2 * i], ARGV[2 * i + 1]
    local version, name = string.sub(told, 1, 16), string.sub(told, 33)
    local known = stamp and there and string.sub(there, 1, 28) == stamp
    local leased = known and string.byte(there, 29) == LEASE
    local entry = known and not leased
    if version == FORGET or not entry or string.sub(there, 29, 44) < version then
        local fills = leased and name ~= '' and string.sub(there, 30) == name
        if image ~= '' and (entry or fills) then
            local ends = tonumber(string.sub(told, 17, 32))
            redis.call('SET', KEYS[i + 1], stamp .. version .. image, 'PXAT',
                       string.format('%.0f', ends and ends < last and ends or last))
        elseif there then
            gone[#gone + 1] = KEYS[i + 1]
        end
    end
end
if #gone > 0 then
    redis.call('DEL', unpack(gone))
end
return 1
