-- Events by number, from one snapshot. ARGV: what is read, as [stream, start, limit, reverse] each; the bytes
-- a reply may have. The reply: [epoch, instant], then for each read its bounds and its entries.

do
  local room

  local function bounds_of(stream)
    local data = call("HGET", P .. "s", stream)
    if not data then
      return 1, 0
    end
    local found = unpacked(data)
    return found[2], found[3]
  end

  -- Entries from `low` to `high`; each read gets one event at least, if there is any.
  local function entries(stream, low, high, limit, reverse)
    local key, found, page, largest = P .. "v\0" .. stream, {}, 1, 0
    while low <= high and #found < limit and (room >= 0 or #found == 0) do
      page = math.min(page, limit - #found)
      local read
      if reverse then
        read = call("XREVRANGE", key, int(high) .. "-0", int(low) .. "-0", "COUNT", page)
        high = high - page
      else
        read = call("XRANGE", key, int(low) .. "-0", int(high) .. "-0", "COUNT", page)
        low = low + page
      end
      for _, entry in ipairs(read) do
        found[#found + 1] = entry
        largest = math.max(largest, #entry[2][4])
        room = room - #entry[2][4]
      end
      page = fitting(room, largest)
    end
    return found
  end

  define("stream", function()
    room = tonumber(ARGV[2])
    local reply = {pack({head[H.epoch], instant()})}
    for _, read in ipairs(unpacked(ARGV[1])) do
      local stream, start, limit, reverse = read[1], read[2], read[3], read[4]
      local first, last = bounds_of(stream)
      reply[#reply + 1] = pack({first, last})
      if reverse then
        reply[#reply + 1] = entries(stream, first, math.min(start, last), limit, true)
      else
        reply[#reply + 1] = entries(stream, math.max(start, first), last, limit, false)
      end
    end
    return reply
  end, {reads = true})
end
