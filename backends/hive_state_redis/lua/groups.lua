-- A group is a group of the Redis stream, whose pending list holds what is pending or dead.

local POSITION, DELIVERIES_MOST, PENDING, BURIED = 2, 3, 4, 5  -- behind its version

local function group_name(stream, group)
  return stream .. "\0" .. group
end

local function read_group(_, stream, group)
  local data = call("HGET", P .. "g\0" .. stream, group)
  return data and unpacked(data)
end

local function group_slot(stream, group)
  local slot = slot_of("group", group_name(stream, group), read_group, stream, group)
  slot.stream, slot.group = stream, group
  return slot
end

local function groups_of(stream)
  local found = {}
  for _, group in ipairs(call("HKEYS", P .. "g\0" .. stream)) do
    group_slot(stream, group)
  end
  for _, slot in pairs(slots.group) do
    if slot.stream == stream and slot.now then
      found[#found + 1] = slot
    end
  end
  return found
end

-- Names of groups: those that are there, and those that have deliveries, as a copy brings these first.
local grouped

do
  local function flush_grouped()
    for _, slot in pairs(grouped) do
      if read_group(nil, slot.stream, slot.group) or call("EXISTS", P .. "o\0" .. slot.name) == 1 then
        call("ZADD", P .. "F", 0, slot.name)
      else
        call("ZREM", P .. "F", slot.name)
      end
    end
    grouped = {}
  end

  after_send[#after_send + 1] = flush_grouped
end
resets[#resets + 1] = function()
  grouped = {}
end

function flush.group(slot)
  local stream, group, was, now = slot.stream, slot.group, slot.was, slot.now
  if not now then
    add("HDEL", P .. "g\0" .. stream, group)
    if call("EXISTS", native(stream)) == 1 then
      call("XGROUP", "DESTROY", native(stream), group)
    end
    grouped[slot.name], dropped[stream] = slot, true
    return
  end
  add("HSET", P .. "g\0" .. stream, group, packed(now, 5))
  if not was then
    call("XGROUP", "CREATE", native(stream), group, id_of(now[POSITION]), "MKSTREAM")
    grouped[slot.name] = slot
  elseif was[POSITION] ~= now[POSITION] and not slot.handed then  -- handing out has moved it
    call("XGROUP", "SETID", native(stream), group, id_of(now[POSITION]))
  end
end
