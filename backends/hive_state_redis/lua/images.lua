-- Entities as they lie in the store, for a copy. ARGV: their names; for each: what lies in its place, or what
-- lies in the place of its Gone.

define("images", function()
  local found = {}
  for n, ref in ipairs(unpacked(ARGV[1])) do
    local data = lookup[ref[1]](ref)
    if not data then
      local gone = call("ZSCORE", P .. "X", ref[1] .. "\0" .. table.concat(ref, "\0", 2))
      data = gone and tonumber(gone)
    end
    found[n] = data
  end
  return found
end, {reads = true})
