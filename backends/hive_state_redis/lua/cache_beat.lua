-- ARGV: epoch, began, until (16 digits each), how long the beat is remembered (ms).
if beat and (string.sub(beat, 13, 28) > ARGV[1] or string.sub(beat, 29, 44) >= ARGV[2]) then
    return 0
end
redis.call('SET', KEYS[1], run .. ARGV[1] .. ARGV[2] .. ARGV[3], 'PX', ARGV[4])
return 1
