-- Write notes if others are as expected. ARGV: both lists, see `notes.lua`; the values. The reply: 1 if so.

define("note", function()
  local changes, expected = unpack(unpacked(ARGV[1]))
  for n = 1, #expected, 2 do
    local wanted = expected[n + 1] ~= 0 and ARGV[expected[n + 1]]
    if call("HGET", P .. "Z", expected[n]) ~= wanted then
      return 0
    end
  end
  write_notes(changes)
  return 1
end)
