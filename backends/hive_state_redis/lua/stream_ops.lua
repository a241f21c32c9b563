-- Operations on streams, groups and deliveries.

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
    local seq = old[LAST] + 1
    set(slot, "appended", keep_event(slot, seq, op[4], ARGV[op[3]]))
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
