-- What a claim hands out: the parts of its reply, of which the first is the summary, and the bytes that values may
-- still take.
local handed, room_left

-- What is kept of a trip that gets this summary. `held`: see `claim.lua`.
local function kept_claim(summary, held)
  return "l" .. summary .. ARGV[1] .. pack(version, held)
end
