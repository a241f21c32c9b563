-- A page of what is there of one kind, in the order of the keys. ARGV: kind; what it comes after and ends
-- before, as parts of a key; how many; the bytes a reply may have.
--
-- The reply: each key, its parts joined by NULs, and what lies there.

do
  local after, stop, limit, room, reply
  local PAGE = 100

  local function give(name, data, size)
    reply[#reply + 1], reply[#reply + 2] = name, data
    room = room - size
  end

  local function enough()
    return #reply >= 2 * limit or room < 0
  end

  -- Strings by their bytes; Lua goes by the locale.
  local function is_below(one, other)
    for n = 1, math.min(#one, #other) do
      local left, right = one:byte(n), other:byte(n)
      if left ~= right then
        return left < right
      end
    end
    return #one < #other
  end

  -- The names in a sorted set, in byte order, from behind `from` to before `to`.
  local function walk(set, from, to, visit)
    local low, high = from and "(" .. from or "-", to and "(" .. to or "+"
    while not enough() do
      local names = call("ZRANGEBYLEX", set, low, high, "LIMIT", 0, PAGE)
      for _, name in ipairs(names) do
        if enough() then
          return
        end
        visit(name)
      end
      if #names < PAGE then
        return
      end
      low = "(" .. names[#names]
    end
  end

  -- As `walk`, over a name in front, of which the first and the last are not whole.
  local function walk_within(set, visit)
    local function named(name)
      visit(name, name == after[1] and after[2] or nil, name == stop[1] and stop[2] or nil)
    end
    if after[1] and call("ZSCORE", set, after[1]) and not (stop[1] and is_below(stop[1], after[1])) then
      named(after[1])
    end
    walk(set, after[1], stop[1], named)
    if stop[1] and stop[1] ~= after[1] and call("ZSCORE", set, stop[1]) and not enough() then
      named(stop[1])
    end
  end

  -- Keys of a collection: those of records, and those of tombstones.
  local function records(collection, from, to)
    local prefix, low, high = collection .. "\0", from and "(" .. from or "-", to and "(" .. to or "+"
    while not enough() do
      local live = call("ZRANGEBYLEX", P .. "k\0" .. prefix:sub(1, -2), low, high, "LIMIT", 0, PAGE)
      local dead = call("ZRANGEBYLEX", P .. "w\0" .. prefix:sub(1, -2), low, high, "LIMIT", 0, PAGE)
      local a, b, last = 1, 1, nil
      for _ = 1, math.min(PAGE, #live + #dead) do
        if dead[b] and (not live[a] or is_below(dead[b], live[a])) then
          last, b = dead[b], b + 1
        else
          last, a = live[a], a + 1
        end
        local data = call("GET", P .. "r\0" .. prefix .. last)
        give(prefix .. last, data, #data)
        if enough() then
          return
        end
      end
      if not last then
        return
      end
      low = "(" .. last
    end
  end

  local function events(stream, from, to)
    local low, high = from and from + 1 or 0, to and to - 1 or 2 ^ 53
    local page, largest = 1, 0
    while low <= high and not enough() do
      local read = call("XRANGE", P .. "v\0" .. stream, int(low) .. "-0", int(high) .. "-0", "COUNT", page)
      for _, entry in ipairs(read) do
        give(stream .. "\0" .. entry[1], entry, #entry[2][4])
        largest = math.max(largest, #entry[2][4])
        low = tonumber(entry[1]:match("^%d+")) + 1
      end
      if #read < page then
        return
      end
      page = math.min(fitting(room, largest), limit)
    end
  end

  local function deliveries(name, from, to)
    local low = from and "(" .. int(from) or "-inf"
    while not enough() do
      local seqs = call("ZRANGEBYSCORE", P .. "o\0" .. name, low, to and "(" .. int(to) or "+inf", "LIMIT", 0, PAGE)
      for _, seq in ipairs(seqs) do
        if enough() then
          return
        end
        give(name .. "\0" .. seq, call("HGET", P .. "p\0" .. name, seq), 0)
      end
      if #seqs < PAGE then
        return
      end
      low = "(" .. seqs[#seqs]
    end
  end

  -- A group is one name, and so is that of its deliveries; the seq stands behind it.
  local function joined(parts)
    return parts[2] and {parts[1] .. "\0" .. parts[2], parts[3]} or parts
  end

  local function group(name)
    local stream, own = name:match("^([^%z]*)%z(.*)$")
    local data = call("HGET", P .. "g\0" .. stream, own)
    if data then
      give(name, data, 0)
    end
  end

  local function stored(table)
    return function(name)
      local data = call("HGET", P .. table, name)
      if data then
        give(name, data, 0)
      end
    end
  end

  define("export", function()
    local kind
    kind, after, stop, limit = unpack(unpacked(ARGV[1]), 1, 4)
    room, reply = tonumber(ARGV[2]), {}
    after, stop = after or {}, stop or {}
    if kind == "record" then
      walk_within(P .. "C", records)
    elseif kind == "event" then
      walk_within(P .. "S", events)
    elseif kind == "pending" then
      after, stop = joined(after), joined(stop)
      walk_within(P .. "F", deliveries)
    elseif kind == "group" then
      walk(P .. "F", joined(after)[1], joined(stop)[1], group)
    elseif kind == "stream" then
      walk(P .. "S", after[1], stop[1], stored("s"))
    elseif kind == "task" then
      walk(P .. "T", after[1], stop[1], function(id)
        local found = stored_task(id)
        give(id, found, #found[2] + #(found[3] or ""))
      end)
    elseif kind == "commit" then
      walk(P .. "M", after[1], stop[1], function(id)
        give(id, call("GET", P .. "m\0" .. id), 0)
      end)
    end
    return reply
  end, {reads = true})
end
