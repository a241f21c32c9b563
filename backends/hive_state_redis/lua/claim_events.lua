-- Claims of events: what a group was handed before and is due again comes first, then what is new.

local claim_events

do
  -- Events of one group: `found` are the seqs that were handed out.
  local function due_again(group)
    local seqs = call("ZRANGEBYSCORE", P .. "a\0" .. group.name, "-inf", int(at))
    for n, seq in ipairs(seqs) do
      seqs[n] = tonumber(seq)
    end
    table.sort(seqs)
    return seqs
  end

  local function hand_out_event(slot, request, entry, found)
    local old = slot.now
    local why = old and (old[GIVEN] > 0 and LEASE_EXPIRED or old[WHY]) or nil
    local new = {version, version, old and old[DELIVERIES] + 1 or 1, request[4], at + request[5], false, why}
    set(slot, "now", new)
    local fields, n = entry[2], #handed
    local born, when, raw = struct.unpack(EVENT, fields[2])
    handed[n + 1] = pack({slot.seq, version, new[DELIVERIES], new[LEASED_UNTIL], born, when, raw == 1})
    handed[n + 2] = fields[4]
    room_left = room_left - #fields[4]
    found[#found + 1] = slot.seq
  end

  local function hand_out_again(group, request, counts_now, found)
    for _, seq in ipairs(due_again(group)) do
      if #found == request[6] or room_left < 0 then
        return
      end
      local slot = delivery_slot(group.stream, group.group, seq)
      local old = slot.now
      if old and not old[LOST] and old[LEASED_UNTIL] <= at then
        if old[DELIVERIES] >= counts_now[DELIVERIES_MOST] then
          local new = copied(old, 7)
          new[1], new[GIVEN], new[LOST], new[WHY] = version, 0, true, old[GIVEN] > 0 and LEASE_EXPIRED or old[WHY]
          counted(old, -1, counts_now)
          counted(new, 1, counts_now)
          set(slot, "now", new)
        else
          local entry = call("XRANGE", native(group.stream), id_of(seq), id_of(seq))[1]
          hand_out_event(slot, request, entry, found)
        end
      end
    end
  end

  -- Redis moves the position of its group along.
  local function hand_out_new(group, request, counts_now, found)
    local page, largest = 1, 0
    while #found < request[6] and room_left >= 0 do
      local read = call("XREADGROUP", "GROUP", group.group, request[4], "COUNT",
        math.min(page, request[6] - #found), "STREAMS", native(group.stream), ">")
      if not read then
        return
      end
      for _, entry in ipairs(read[1][2]) do
        local seq = tonumber(entry[1]:match("^%d+"))
        local slot = delivery_slot(group.stream, group.group, seq)
        slot.listed = true
        hand_out_event(slot, request, entry, found)
        counts_now[POSITION], counts_now[PENDING] = seq, counts_now[PENDING] + 1
        largest = math.max(largest, #entry[2][4])
      end
      page = fitting(room_left, largest)
      group.handed = true
    end
  end

  function claim_events(request)
    local group, found = group_slot(request[2], request[3]), {}
    if not group.now then
      return {2, request[2], 0, false, true}, found
    end
    local counts_now, before = copied(group.now, 5), noted
    hand_out_again(group, request, counts_now, found)
    hand_out_new(group, request, counts_now, found)
    if noted > before then
      counts_now[1] = version
      set(group, "now", counts_now)
    end
    local due = false
    if #found < request[6] then
      due = room_left < 0 and 0 or {P .. "a\0" .. group.name}
    end
    return {2, request[2], #found, due, false}, found
  end
end
