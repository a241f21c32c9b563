-- Commits that carried an id are remembered: version, instant, fingerprint and the outcome as
-- `outcomes.dump` has it, which is MessagePack of [version, at, results].

local PLAIN_RESULT = {false, true, true, true, false, nil, nil, nil, nil, true, nil, true, false, nil, true, false,
  false, false, false, true, nil, true}
local commit_slot, recall, remember

do
  local MEMORY, MEMORY_FIXED = "<i8i8I4", 20
  local STATES = {"waiting", "scheduled", "ready", "leased", "completed", "cancelled", "dead"}

  local function read_commit(id)
    local data = call("GET", P .. "m\0" .. id)
    if not data then
      return false
    end
    local found, when, size = struct.unpack(MEMORY, data)
    return {
      version = found,
      at = when,
      fingerprint = data:sub(MEMORY_FIXED + 1, MEMORY_FIXED + size),
      results = data:sub(MEMORY_FIXED + size + 1),
    }
  end

  function flush.commit(slot)
    local id, now = slot.name, slot.now
    if not now then
      call("DEL", P .. "m\0" .. id)
      add("ZREM", P .. "M", id)
      add("ZREM", P .. "N", id)
      return
    end
    local fixed = struct.pack(MEMORY, now.version, now.at, #now.fingerprint)
    put_string(P .. "m\0" .. id, fixed .. now.fingerprint .. now.results)
    add("ZADD", P .. "M", 0, id)
    add("ZADD", P .. "N", now.at, id)
  end

  function commit_slot(id)
    return slot_of("commit", id, read_commit)
  end

  -- The outcome of a batch that was committed before; nothing if it was not.
  function recall(batch)
    local known = commit_slot(batch[3]).was
    if not known then
      return
    end
    if known.fingerprint == ARGV[batch[4]] then
      return "\146\192" .. known.results
    end
    return pack({REASON.commit, false, 0, 0, 0, 0})
  end

  local function fields(name, ...)
    local parts = {"\129", pack(name), string.char(0x80 + select("#", ...) / 2)}
    for _, field in ipairs({...}) do
      parts[#parts + 1] = pack(field)
    end
    return table.concat(parts)
  end

  -- A result as `outcomes.dump` writes it.
  local function portable(op, result)
    local code = op[1]
    if code == 4 then
      local enqueued = result == true and {op[2], true} or result
      return fields("enqueued", "id", enqueued[1], "created", enqueued[2])
    elseif code == 8 then
      return fields("extended", "lease_until", result[1], "cancel_requested", result[2])
    elseif code == 21 then
      return fields("trimmed", "removed", result[1], "dropped", result[2], "first", result[3])
    elseif code == 6 or code == 7 or code == 9 then
      return pack(result and STATES[result] or nil)
    elseif PLAIN_RESULT[code] == false and code ~= 2 and code ~= 3 then
      return pack(nil)
    end
    return pack(result)
  end

  function remember(batch, outcome)
    local ops, made = batch[1], noted > 0
    local parts = {"\147", pack(made and version or 0, at), string.char(0xdc, math.floor(#ops / 256), #ops % 256)}
    for place, op in ipairs(ops) do
      local result
      if outcome == 1 then
        result = PLAIN_RESULT[op[1]]
      else
        result = outcome[2][place]
      end
      parts[#parts + 1] = portable(op, result)
    end
    set(commit_slot(batch[3]), "now",
      {version = version, at = at, fingerprint = ARGV[batch[4]], results = table.concat(parts)})
  end
end
