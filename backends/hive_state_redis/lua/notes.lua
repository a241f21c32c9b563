-- New values of notes. Pairs of a name and the place of its value in ARGV, 0 for none.

local function write_notes(pairs_of)
  for n = 1, #pairs_of, 2 do
    if pairs_of[n + 1] == 0 then
      call("HDEL", P .. "Z", pairs_of[n])
    else
      call("HSET", P .. "Z", pairs_of[n], ARGV[pairs_of[n + 1]])
    end
  end
end
