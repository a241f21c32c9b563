-- A stream is a Redis stream whose ids are <seq>-0; its entries hold h (version, instant, raw) and b, the body.
-- Beside it lie its head and its groups. A group is a group of the Redis stream, whose pending list holds what
-- is pending or dead. As Redis asks nobody for a token, a fence lies beside it: what became of each delivery.

local EVENT = "<i8i8B"
local FIRST, LAST, DROPPED = 2, 3, 4  -- of a stream, behind its version
local POSITION, DELIVERIES_MOST, PENDING, BURIED = 2, 3, 4, 5  -- of a group
local GIVEN, DELIVERIES, CONSUMER, LEASED_UNTIL, LOST, WHY = 2, 3, 4, 5, 6, 7  -- of a delivery

local function read_stream(stream)
  local data = call("HGET", P .. "s", stream)
  return data and unpacked(data)
end

local function stream_slot(stream)
  return slot_of("stream", stream, read_stream)
end

local function native(stream)
  return P .. "v\0" .. stream
end

local function id_of(seq)
  return int(seq) .. "-0"
end

local function add_event(stream, seq, fixed, body)
  call("XADD", native(stream), id_of(seq), "h", fixed, "b", body)
end

local dropped  -- streams that may be left with nothing

function flush.stream(slot)
  local stream, was, now = slot.name, slot.was, slot.now
  if not now then
    add("HDEL", P .. "s", stream)
    add("ZREM", P .. "S", stream)
    dropped[stream] = true
    return
  end
  for n = 1, slot.appended or 0 do
    local event = slot.events[n]
    add_event(stream, event[1], event[2], event[3])
  end
  slot.appended = 0
  if now[FIRST] > (was and was[FIRST] or 1) then
    call("XTRIM", native(stream), "MINID", id_of(now[FIRST]))
  end
  add("HSET", P .. "s", stream, packed(now, 4))
  if not was then
    add("ZADD", P .. "S", 0, stream)
  end
  if now[DROPPED] then
    dropped[stream] = true
  end
end

-- Redis keeps an empty stream. One that was dropped goes, unless a group waits for it to be there again.
local function flush_dropped()
  for stream in pairs(dropped) do
    local found = read_stream(stream)
    local used = found and not found[DROPPED] or call("EXISTS", P .. "g\0" .. stream) == 1
    if not used and call("XLEN", native(stream)) == 0 then
      call("DEL", native(stream))
    end
  end
  dropped = {}
end

after_send[#after_send + 1] = flush_dropped

-- Groups

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
resets[#resets + 1] = function()
  dropped, grouped = {}, {}
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

-- Deliveries

local function read_delivery(_, stream, group, seq)
  local data = call("HGET", P .. "p\0" .. group_name(stream, group), int(seq))
  return data and unpacked(data)
end

local function delivery_slot(stream, group, seq)
  local name = group_name(stream, group)
  local slot = slot_of("pending", name .. "\0" .. int(seq), read_delivery, stream, group, seq)
  slot.stream, slot.group, slot.seq, slot.place = stream, group, seq, name
  return slot
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

do
  -- The lowest seq that the group has pending or dead, or may still be handed.
  local function unfinished(group)
    local from = 0
    while true do
      local seqs = call("ZRANGE", P .. "o\0" .. group.name, from, from + 63)
      for _, seq in ipairs(seqs) do
        if delivery_slot(group.stream, group.group, tonumber(seq)).now then
          return tonumber(seq)
        end
      end
      if #seqs == 0 then
        return group.now[POSITION] + 1
      end
      from = from + #seqs
    end
  end

  local function stream_of(slot)
    return slot.now or {0, 1, 0, false}
  end

  local function clamped(stream, position)
    local last = stream_of(stream_slot(stream))[LAST]
    return position and math.max(0, math.min(position, last)) or last
  end

  local function drop_group(stream, group)
    local slot = group_slot(stream, group)
    if not slot.now then
      return false
    end
    for _, delivery in ipairs(deliveries_of(stream, group, 0, 2 ^ 53)) do
      set(delivery, "now", false)
    end
    set(slot, "now", false)
    return true
  end



  apply[14] = function(op)  -- append: stream, body, raw
    local slot = stream_slot(op[2])
    local old = stream_of(slot)
    local seq, n = old[LAST] + 1, (slot.appended or 0) + 1
    slot.events = slot.events or {}
    slot.events[n] = {seq, struct.pack(EVENT, version, at, op[4] and 1 or 0), ARGV[op[3]]}
    set(slot, "appended", n)
    set(slot, "now", {version, old[FIRST], seq, false})
    return seq
  end

  apply[15] = function(op)  -- create group: stream, group, position, max_deliveries
    local slot = group_slot(op[2], op[3])
    if slot.now then
      return false
    end
    set(slot, "now", {version, clamped(op[2], op[4]), op[5], 0, 0})
    return true
  end

  -- The deliveries that are named by seq and token in turn, each once; nothing if one is not current. Token 0 is
  -- that of a dead delivery, and of no other.
  local function current(op, named, zero)
    local found, seen = {}, {}
    for n = 1, #named, 2 do
      local seq, token = named[n], named[n + 1]
      local slot = delivery_slot(op[2], op[3], seq)
      local actual = slot.now and slot.now[GIVEN] or 0
      if not slot.now or actual ~= token or (token == 0 and not (zero and slot.now[LOST])) then
        refuse(REASON.lease, token, actual, seq)
        return
      end
      if not seen[seq] then
        seen[seq] = true
        found[#found + 1] = slot
      end
    end
    return found
  end

  local function change_current(op, named, zero, change)
    local found = current(op, named, zero)
    local group = group_slot(op[2], op[3])
    if found and found[1] and group.now then
      put_deliveries(group, found, change)
    end
    return false
  end

  apply[16] = function(op)  -- ack: stream, group, deliveries
    return change_current(op, op[4], true, forgotten)
  end

  apply[17] = function(op)  -- nack: stream, group, deliveries, retry_in, error, spent
    local retry_in, why, spent = op[5], op[6], op[7]
    local group = group_slot(op[2], op[3]).now
    return change_current(op, op[4], true, function(old)
      local new = copied(old, 7)
      local deliveries = old[LOST] and 0 or old[DELIVERIES] - (spent and 0 or 1)
      local dead = not retry_in or (spent and deliveries >= group[DELIVERIES_MOST])
      new[1], new[GIVEN], new[DELIVERIES], new[LOST], new[WHY] = version, 0, deliveries, dead, why
      if not dead then
        new[LEASED_UNTIL] = at + retry_in
      end
      return new
    end)
  end

  apply[18] = function(op)  -- extend deliveries: stream, group, deliveries, lease
    return change_current(op, op[4], false, function(old)
      local new = copied(old, 7)
      new[1], new[LEASED_UNTIL] = version, math.max(old[LEASED_UNTIL], at + op[5])
      return new
    end)
  end

  apply[19] = function(op)  -- seek: stream, group, position
    local group = group_slot(op[2], op[3])
    if not group.now then
      refuse(REASON.missing)
      return
    end
    put_deliveries(group, deliveries_of(op[2], op[3], 0, 2 ^ 53), forgotten)
    local new = copied(group.now, 5)
    new[POSITION] = clamped(op[2], op[4])
    set(group, "now", new)
    return false
  end

  apply[20] = function(op)  -- drop group: stream, group
    return drop_group(op[2], op[3])
  end

  local TRIM = 1000  -- events that one operation removes, at most

  apply[21] = function(op)  -- trim: stream, first, force
    local slot = stream_slot(op[2])
    local stream, groups = stream_of(slot), groups_of(op[2])
    local first = math.min(op[3], stream[LAST] + 1, stream[FIRST] + TRIM)
    if not op[4] then
      for _, group in ipairs(groups) do
        first = math.min(first, unfinished(group))
      end
    end
    if first <= stream[FIRST] then
      return {0, 0, stream[FIRST]}
    end
    local lost, dropped_events = {}, 0
    for _, group in ipairs(groups) do
      local deliveries = deliveries_of(group.stream, group.group, stream[FIRST], first)
      for _, delivery in ipairs(deliveries) do
        lost[delivery.seq] = true
      end
      for seq = math.max(stream[FIRST], group.now[POSITION] + 1), first - 1 do
        lost[seq] = true
      end
      if #deliveries > 0 then
        put_deliveries(group, deliveries, forgotten)
      end
    end
    for _ in pairs(lost) do
      dropped_events = dropped_events + 1
    end
    set(slot, "now", {version, first, stream[LAST], stream[DROPPED]})
    return {first - stream[FIRST], dropped_events, first}
  end

  apply[22] = function(op)  -- drop stream: stream
    local slot = stream_slot(op[2])
    for _, group in ipairs(groups_of(op[2])) do
      drop_group(group.stream, group.group)
    end
    local stream = slot.now
    if not stream or stream[DROPPED] then
      return false
    end
    set(slot, "now", {version, stream[LAST] + 1, stream[LAST], true})
    return true
  end
end
