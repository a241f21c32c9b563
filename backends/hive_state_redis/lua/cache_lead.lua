-- KEYS: the place of the one who leads. ARGV: a name, and for how long it leads (ms).
local leads = redis.call('GET', KEYS[1])
if leads and leads ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
