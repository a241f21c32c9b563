-- Marks that have reached their sink, as [place, version] each; those that are newer by now stay. ARGV: the
-- sink; the marks. The reply: how many went.

define("clear", function()
  local key, cleared = P .. "K\0" .. ARGV[1], 0
  for _, mark in ipairs(unpacked(ARGV[2])) do
    local version = call("ZSCORE", key, mark[1])
    if version and tonumber(version) == mark[2] then
      cleared = cleared + call("ZREM", key, mark[1])
    end
  end
  return cleared
end)
