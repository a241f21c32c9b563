-- One page of a scan, from one snapshot. ARGV: the query (see `scanning.py`); the bytes a reply may have.
--
-- The reply: [epoch, instant, total], the last key that was looked at if there is more, then each key and what
-- lies there.

do
  local kind, within, group, low, high, reverse, where, states, dead, limit, counting, values
  local room, at, key, by
  local LOOKED = 1000  -- keys that a page looks at, at least

  -- What lies at a key; nothing if it does not match.
  local look = {}

  local function lists(entry, data, size)
    local flat = unpacked(data:sub(FIXED + 1, FIXED + size))
    for n = 1, #flat, 2 do
      if flat[n] == entry[1] and flat[n + 1] == entry[2] then
        return true
      end
    end
  end

  function look.record(key)
    local place = P .. "r\0" .. within .. "\0" .. key
    local data = call("GETRANGE", place, 0, FIXED - 1)
    local _, _, _, _, expires_at, flags, size = struct.unpack("<i8i8i8i8i8BI4", data)
    if flags >= 4 and expires_at <= at then
      return
    end
    if counting and #where < 2 then
      return true
    end
    data = values and not counting and call("GET", place) or call("GETRANGE", place, 0, FIXED + size - 1)
    for n = 2, #where do  -- the first has found the key
      if not lists(where[n], data, size) then
        return
      end
    end
    return data, #data
  end

  function look.task(id)
    local fields = fields_of(id)
    if states and not states[unpacked(fields)[STATE]] then
      return
    end
    if counting then
      return true
    end
    if not values then
      return {fields, "", call("HEXISTS", P .. "R", id) == 1 and ""}, 0
    end
    local found = stored_task(id)
    return found, #found[2]
  end

  function look.stream(stream)
    local data = call("HGET", P .. "s", stream)
    return data and not unpacked(data)[4] and data, 0
  end

  function look.pending(seq)
    local data = call("HGET", P .. "p\0" .. within .. "\0" .. group, seq)
    return (dead == nil or unpacked(data)[6] == dead) and data, 0
  end

  local function source()
    if kind == "record" then
      local first = where[1]
      return first and P .. "i\0" .. within .. "\0" .. first[1] .. "\0" .. first[2] or P .. "k\0" .. within
    elseif kind == "task" then
      return within and P .. "u\0" .. within or P .. "T"
    elseif kind == "stream" then
      return P .. "S"
    end
    return P .. "o\0" .. within .. "\0" .. group
  end

  local function next_keys(last)
    local from, to = low, high
    if last then
      if reverse then
        to = "(" .. last
      else
        from = "(" .. last
      end
    end
    local count = counting and LOOKED or math.min(LOOKED, limit)
    if reverse then
      return call("ZRANGE", key, to, from, by, "REV", "LIMIT", 0, count)
    end
    return call("ZRANGE", key, from, to, by, "LIMIT", 0, count)
  end

  -- How many records of a collection have expired, and were not swept yet.
  local function expired()
    local prefix = within .. "\0"
    for _, name in ipairs(call("ZRANGEBYSCORE", P .. "E", "-inf", int(at))) do
      if name:sub(1, #prefix) == prefix then
        return true
      end
    end
  end

  local function counted_at_once()
    if kind == "record" and #where < 2 and not expired() or kind == "task" and not states then
      return call("ZLEXCOUNT", key, low, high)
    end
  end

  define("scan", function()
    kind, within, group, low, high, reverse, where, states, dead, limit, counting, values =
      unpack(unpacked(ARGV[1]), 1, 12)
    room, at = tonumber(ARGV[2]), instant()
    if states then
      local wanted = {}
      for _, state in ipairs(states) do
        wanted[state] = true
      end
      states = wanted
    end

    key, by = source(), kind == "pending" and "BYSCORE" or "BYLEX"
    local reply, total, looked, last, more = {false, false}, 0, 0, nil, false
    local at_once = counting and counted_at_once()
    while not at_once do
      local keys = next_keys(last)
      if kind == "task" then
        look_ahead(keys)
      end
      for _, each in ipairs(keys) do
        local data, size = look[kind](each)
        looked, last = looked + 1, each
        if data then
          total = total + 1
          if not counting then
            local n = #reply
            reply[n + 1], reply[n + 2] = each, data
            room = room - size
          end
        end
        more = not counting and (total == limit or room < 0)
        if more then
          break
        end
      end
      more = more or (not counting and looked >= math.max(limit, LOOKED))
      if more or #keys == 0 then
        break
      end
    end
    reply[1] = pack({head[H.epoch], at, at_once or total})
    reply[2] = more and last
    return reply
  end, {reads = true})
end
