-- Entities as they lie in the store, from one snapshot. ARGV: their names (see `reading.py`).

define("read", function()
  local found = {pack({head[H.epoch], instant()})}
  for n, ref in ipairs(unpacked(ARGV[1])) do
    found[n + 1] = lookup[ref[1]](ref)
  end
  return found
end, {reads = true})
