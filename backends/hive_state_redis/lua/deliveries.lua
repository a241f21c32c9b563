-- As Redis asks nobody for a token, a fence lies beside its pending list: what became of each delivery.

local GIVEN, DELIVERIES, CONSUMER, LEASED_UNTIL, LOST, WHY = 2, 3, 4, 5, 6, 7  -- behind its version

local delivery_slot

do
  local function read_delivery(_, stream, group, seq)
    local data = call("HGET", P .. "p\0" .. group_name(stream, group), int(seq))
    return data and unpacked(data)
  end

  function delivery_slot(stream, group, seq)
    local name = group_name(stream, group)
    local slot = slot_of("pending", name .. "\0" .. int(seq), read_delivery, stream, group, seq)
    slot.stream, slot.group, slot.seq, slot.place = stream, group, seq, name
    return slot
  end
end

-- Into the pending list of Redis.
local function list_pending(slot)
  local delivery = slot.now
  call("XCLAIM", native(slot.stream), slot.group, delivery[CONSUMER], 0, id_of(slot.seq), "RETRYCOUNT",
    int(delivery[DELIVERIES]), "FORCE", "JUSTID")
end

function flush.pending(slot)
  local place, seq, was, now = slot.place, int(slot.seq), slot.was, slot.now
  if not now then
    add("HDEL", P .. "p\0" .. place, seq)
    add("ZREM", P .. "o\0" .. place, seq)
    add("ZREM", P .. "a\0" .. place, seq)
    call("XACK", native(slot.stream), slot.group, id_of(slot.seq))
    return
  end
  add("HSET", P .. "p\0" .. place, seq, packed(now, 7))
  if not was then
    add("ZADD", P .. "o\0" .. place, slot.seq, seq)
  end
  if now[LOST] then
    add("ZREM", P .. "a\0" .. place, seq)
  else
    add("ZADD", P .. "a\0" .. place, now[LEASED_UNTIL], seq)
  end
  if now[GIVEN] > 0 and now[GIVEN] ~= (was and was[GIVEN]) and not slot.listed then
    list_pending(slot)
  end
end

-- A group's deliveries with first <= seq < stop, in order; those that the trip has taken away left out.
local function deliveries_of(stream, group, first, stop)
  local place, found = group_name(stream, group), {}
  local seqs = call("ZRANGEBYSCORE", P .. "o\0" .. place, int(first), "(" .. int(stop))
  for _, seq in ipairs(seqs) do
    local slot = delivery_slot(stream, group, tonumber(seq))
    if slot.now then
      found[#found + 1] = slot
    end
  end
  return found
end

local function counted(delivery, change, group)
  if delivery then
    local field = delivery[LOST] and BURIED or PENDING
    group[field] = group[field] + change
  end
end

-- The deliveries become what `change` says (false: there is none any more), and the group counts them.
local function put_deliveries(group, deliveries, change)
  local new = copied(group.now, 5)
  new[1] = version
  for _, slot in ipairs(deliveries) do
    local delivery = change(slot.now)
    counted(slot.now, -1, new)
    counted(delivery, 1, new)
    set(slot, "now", delivery)
  end
  set(group, "now", new)
end

local function forgotten()
  return false
end
