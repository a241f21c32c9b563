-- One round of house-keeping. ARGV: the limit; how long is kept what is completed, cancelled, dead, a tombstone,
-- a commit. The reply: how many records expired, tombstones went, tasks were promoted, leases taken away, tasks
-- and commits removed; 1 if the limit ended it.

do
  local left, kept_for
  local PAGE, PEER = 256, "peer"

  -- Names in a sorted set by instant that were kept long enough; they use up the limit.
  local function due(table, kept)
    if not kept or left <= 0 then
      return {}
    end
    local found = call("ZRANGEBYSCORE", P .. table, "-inf", int(at - kept), "LIMIT", 0, left)
    left = left - #found
    return found
  end

  local function record_named(name)
    return record_slot(name)
  end

  local function expire_records()
    local names = due("E", 0)
    for _, name in ipairs(names) do
      local slot = record_named(name)
      set(slot, "now", tombstone(slot.now))
    end
    return #names
  end

  local function has_sink(name)
    for _, sink in ipairs(head[H.sinks]) do
      if sink == name then
        return true
      end
    end
  end

  local function is_marked(place)
    for _, sink in ipairs(head[H.sinks]) do
      if call("ZSCORE", P .. "K\0" .. sink, place) then
        return true
      end
    end
  end

  local function remove_gones()
    local removed = 0
    for _, place in ipairs(left > 0 and call("ZRANGE", P .. "X", 0, left - 1) or {}) do
      if not is_marked(place) then
        add("ZREM", P .. "X", place)
        left, removed, changed = left - 1, removed + 1, true
      end
    end
    return removed
  end

  -- None while a copy of what was deleted may be on its way to a peer, or a sink has yet to be told.
  local function remove_tombstones()
    if has_sink(PEER) then
      return 0
    end
    local removed = 0
    for _, name in ipairs(due("G", kept_for[4])) do
      if not is_marked("r\0" .. name) then
        set(record_named(name), "now", false)
        removed = removed + 1
      end
    end
    return removed + remove_gones()
  end

  local function remove_commits()
    local ids = due("N", kept_for[5])
    for _, id in ipairs(ids) do
      set(commit_slot(id), "now", false)
    end
    return #ids
  end

  local function turn_queues()
    local leases, promoted = 0, 0
    for _, queue in ipairs(call("SMEMBERS", P .. "Q")) do
      if left <= 0 then
        break
      end
      local over, started = turn(queue, left)
      leases, promoted, left = leases + over, promoted + started, left - over - started
    end
    return leases, promoted
  end

  -- 0: one of its children has a parent that is not completed yet.
  local function remove_task(id)
    local slot, children = task_slot(id), children_of(id)
    for _, child in ipairs(children) do
      if task_slot(child).now[UNMET] > 0 then
        return 0
      end
    end
    for _, child in ipairs(children) do
      set(edges_of(id), child, false)
    end
    for _, parent in ipairs(slot.now[PARENTS]) do
      set(edges_of(parent), id, false)
    end
    set(slot, "now", false)
    left = left - 1
    return 1
  end

  -- Those that must stay do not use up the limit: they would hide what is behind them.
  local function remove_ended(state, kept)
    local removed, from = 0, 0
    while kept and left > 0 do
      local ids = call("ZRANGEBYSCORE", P .. "z\0" .. int(state), "-inf", int(at - kept), "LIMIT", from, PAGE)
      from = from + #ids
      for _, id in ipairs(ids) do
        if left > 0 then
          removed = removed + remove_task(id)
        end
      end
      if #ids == 0 then
        break
      end
    end
    return removed
  end

  -- Redis remembers every consumer by name; those that have nothing and were not heard of for an hour go.
  local IDLE = 3600 * 1000

  local function forget_consumers()
    for _, name in ipairs(call("ZRANGE", P .. "F", 0, -1)) do
      local stream, group = name:match("^([^%z]*)%z(.*)$")
      local there = read_group(nil, stream, group)
      for _, consumer in ipairs(there and call("XINFO", "CONSUMERS", native(stream), group) or {}) do
        if consumer[4] == 0 and consumer[6] > IDLE then  -- name, pending and idle stand behind their words
          call("XGROUP", "DELCONSUMER", native(stream), group, consumer[2])
        end
      end
    end
  end

  define("sweep", function()
    local told = begin()
    if told then
      return told
    end
    left, kept_for = tonumber(ARGV[1]), unpacked(ARGV[2])
    local expired = expire_records()
    local tombstones = remove_tombstones()
    local commits = remove_commits()
    local leases, promoted = turn_queues()
    local removed = remove_ended(COMPLETED, kept_for[1]) + remove_ended(CANCELLED, kept_for[2]) + remove_ended(GIVEN_UP, kept_for[3])
    keep()
    finish()
    forget_consumers()
    return {expired, tombstones, promoted, leases, removed, commits, left <= 0 and 1 or 0}
  end)
end
