-- Counts at one instant; the cost is that of collections, queues, streams and groups, not of their content. The
-- reply: [epoch, instant], records, queues, streams, groups, see `counting.py`.

do
  local at, heads
  local PRIORITY_MOST = 65535

  local function records()
    local found = {}
    for _, collection in ipairs(call("ZRANGE", P .. "C", 0, -1)) do
      found[#found + 1] = collection
      found[#found + 1] = call("ZCARD", P .. "k\0" .. collection)
    end
    return found
  end

  local function lower(one, other)
    return one and math.min(one, other) or other
  end

  -- The lowest due instant in a lane: it is the first of one of its priorities.
  local function oldest_in(lane)
    local oldest, from = nil, "-"
    while true do
      local member = call("ZRANGEBYLEX", lane, from, "+", "LIMIT", 0, 1)[1]
      if not member then
        return oldest
      end
      local priority, due = struct.unpack(">HI8", member)
      oldest = lower(oldest, due - 2 ^ 52)
      if priority == PRIORITY_MOST then
        return oldest
      end
      from = "[" .. struct.pack(">H", priority + 1)
    end
  end

  local function oldest_ready(queue)
    local oldest
    for _, lane in ipairs(call("SMEMBERS", P .. "l\0" .. queue)) do
      local first = oldest_in(P .. "y\0" .. queue .. "\0" .. lane)
      oldest = first and lower(oldest, first) or oldest
    end
    local overdue = call("ZRANGEBYSCORE", P .. "d\0" .. queue, "-inf", int(at), "WITHSCORES", "LIMIT", 0, 1)[2]
    return overdue and lower(oldest, tonumber(overdue)) or oldest
  end

  local function queues()
    local found, seen = {}, {}
    for _, names in ipairs({call("SMEMBERS", P .. "Q"), call("HKEYS", P .. "q")}) do
      for _, queue in ipairs(names) do
        if not seen[queue] then
          seen[queue] = true
          local paused = call("HGET", P .. "q", queue)
          found[#found + 1] = {
            queue,
            paused and unpacked(paused)[2] and 1 or 0,
            call("HGETALL", P .. "n\0" .. queue),
            oldest_ready(queue) or false,
            call("ZCOUNT", P .. "x\0" .. queue, "-inf", int(at)),
          }
        end
      end
    end
    return found
  end


  local function streams()
    local found = {}
    for _, stream in ipairs(call("ZRANGE", P .. "S", 0, -1)) do
      local data = call("HGET", P .. "s", stream)
      local stored = data and unpacked(data)
      heads[stream] = stored or nil
      if stored and not stored[4] then
        found[#found + 1] = stream
        found[#found + 1] = stored[3] - stored[2] + 1
      end
    end
    return found
  end

  local function born(stream, seq)
    local entry = call("XRANGE", P .. "v\0" .. stream, int(seq) .. "-0", int(seq) .. "-0")[1]
    if not entry then
      return false
    end
    local _, when = struct.unpack("<i8i8", entry[2][2])
    return when
  end

  local function groups()
    local found = {}
    for _, name in ipairs(call("ZRANGE", P .. "F", 0, -1)) do
      local stream, group = name:match("^([^%z]*)%z(.*)$")
      local stored = call("HGET", P .. "g\0" .. stream, group)
      if stored then
        local _, position, _, pending, dead = unpack(unpacked(stored))
        local bounds = heads[stream] or {0, 1, 0}
        local first = call("ZRANGE", P .. "o\0" .. name, 0, 0)[1]
        local oldest = math.max(bounds[2], first and tonumber(first) or position + 1)
        local lag = bounds[3] - math.max(position, bounds[2] - 1)
        found[#found + 1] = {stream, group, position, lag, pending, dead, born(stream, oldest)}
      end
    end
    return found
  end

  define("stats", function()
    at, heads = instant(), {}
    return {pack({head[H.epoch], at}), records(), queues(), streams(), groups()}
  end, {reads = true})
end
