-- One trip of claims. ARGV: the requests (see `claiming.py`), the trip's id, the trips whose replies were heard, the
-- bytes a reply may have.
--
-- The reply: a summary: [epoch, instant, [kind, stream, how many, due in, missing] of each request], then for each
-- task its id, fields and payload, for each event its delivery and body.

do
  local requests, room
  local wanted  -- how many tasks of a queue, in all
  local TURNED = 256  -- tasks of a queue that one claim turns, at most
  local PAGE = 128

  local function turn_queues()
    for _, request in ipairs(requests) do
      local queue = request[1] == 1 and request[2]
      if queue and not wanted[queue] then
        turn(queue, TURNED)
      end
      if queue then
        wanted[queue] = (wanted[queue] or 0) + request[5]
      end
    end
    if noted > 0 then
      keep()
      write_slots()
    end
  end

  -- The lanes of a queue, each with a page of its tasks: their members, ids and payloads, and which is the next.
  local known

  local function lanes_of(queue)
    if not known[queue] then
      known[queue] = {covered = {}}
      for n, lane in ipairs(call("SMEMBERS", P .. "l\0" .. queue)) do
        known[queue][n] = {lane = lane, queue = queue, key = P .. "y\0" .. queue .. "\0" .. lane, page = {}, next = 1,
          read = 0}
      end
    end
    return known[queue]
  end

  local function turn_page(lane)
    local ids = {}
    lane.page = call("ZRANGE", lane.key, lane.read, lane.read + math.min(PAGE, wanted[lane.queue]) - 1)
    for n, member in ipairs(lane.page) do
      ids[n] = member:sub(PLACE_SIZE + 1)
    end
    lane.ids, lane.payloads, lane.next, lane.read = ids, {}, 1, lane.read + #ids
    if #ids > 0 then
      look_ahead(ids)
    end
  end

  local function look(lane)
    if lane.next > #lane.page then
      turn_page(lane)
    end
    lane.member = lane.page[lane.next]
    return lane.member
  end

  -- Payloads are read as many at a time as surely fit the reply.
  local largest

  local function payload_of(lane, place)
    if not lane.payloads[place] then
      local last = math.min(#lane.ids, place + (largest and fitting(room, largest) or 1) - 1)
      for n, payload in ipairs(call("HMGET", P .. "B", unpack(lane.ids, place, last))) do
        lane.payloads[place + n - 1] = payload
        largest = math.max(largest or 0, #payload)
      end
    end
    return lane.payloads[place]
  end

  local function covered(lane, capabilities)
    for name in lane:gmatch("[^%z]+") do
      if not capabilities[name] then
        return false
      end
    end
    return true
  end

  -- By the numbers that their members begin with.
  local function earlier(one, other)
    local priority, due, order = struct.unpack(PLACE, one.member)
    local its_priority, its_due, its_order = struct.unpack(PLACE, other.member)
    if priority ~= its_priority then
      return priority < its_priority
    elseif due ~= its_due then
      return due < its_due
    end
    return order < its_order
  end

  local function first_of(lanes)
    local first
    for _, lane in ipairs(lanes) do
      if look(lane) and (not first or earlier(lane, first)) then
        first = lane
      end
    end
    return first
  end

  local function covered_lanes(queue, names)
    local lanes, known_as = lanes_of(queue), table.concat(names, "\0")
    local found, capabilities = lanes.covered[known_as], {}
    if not found then
      found = {}
      lanes.covered[known_as] = found
      for _, name in ipairs(names) do
        capabilities[name] = true
      end
      for _, lane in ipairs(lanes) do
        if covered(lane.lane, capabilities) then
          found[#found + 1] = lane
        end
      end
    end
    return found
  end

  -- What is handed out goes into `reply`, which the summary tells apart. `held`: ids or seqs, by request.
  local reply, summary, held

  -- Straight away: nobody refuses any more, and without sinks there is no mark to be left.
  local function lease_at_once(id, lane, request)
    local queue, worker, lease = lane.queue, request[3], at + request[4]
    local old = fields_of(id)
    local _, attempt, stop, result_raw = opened_head(old)
    local _, rest = rest_of_fields(old)
    local fields = head_of_fields(version, at, version, lease, NEVER, attempt + 1, LEASED, stop, result_raw)
      .. pack(queue, worker) .. rest
    write_fields(id, fields)
    add("ZREM", lane.key, lane.member)
    add("ZADD", P .. "x\0" .. queue, lease, id)
    touched_lane(lane.key, queue, lane.lane, false)
    count(queue, READY, -1)
    count(queue, LEASED, 1)
    changed = true
    return fields
  end

  local function hand_out_task(lane, request)
    local id, payload, fields = lane.ids[lane.next], payload_of(lane, lane.next)
    room = room - #payload
    if #head[H.sinks] == 0 and not slots.task[id] then
      fields = lease_at_once(id, lane, request)
    else
      local slot = task_slot(id)
      put_task(slot, claimed_task(slot.now, request[3], request[4]))
      fields = packed_task(slot.now)
    end
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = id, fields, payload
    return id
  end

  local function claim_tasks(request)
    local queue, limit, ids = request[2], request[5], {}
    local paused = queue_slot(queue).now
    if not (paused and paused[2]) then
      local lanes = covered_lanes(queue, request[6])
      while #ids < limit and room >= 0 do
        local lane = first_of(lanes)
        if not lane then
          break
        end
        ids[#ids + 1] = hand_out_task(lane, request)
        lane.next = lane.next + 1
      end
    end
    local due = false
    if not (paused and paused[2]) and #ids < limit then
      due = room < 0 and 0 or {P .. "x\0" .. queue, P .. "d\0" .. queue}
    end
    return {1, "", #ids, due, false}, ids
  end

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
    local fields, n = entry[2], #reply
    local born, when, raw = struct.unpack(EVENT, fields[2])
    reply[n + 1] = pack({slot.seq, version, new[DELIVERIES], new[LEASED_UNTIL], born, when, raw == 1})
    reply[n + 2] = fields[4]
    room = room - #fields[4]
    found[#found + 1] = slot.seq
  end

  local function hand_out_again(group, request, counts_now, found)
    for _, seq in ipairs(due_again(group)) do
      if #found == request[6] or room < 0 then
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
    while #found < request[6] and room >= 0 do
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
      page = fitting(room, largest)
      group.handed = true
    end
  end

  local function claim_events(request)
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
      due = room < 0 and 0 or {P .. "a\0" .. group.name}
    end
    return {2, request[2], #found, due, false}, found
  end

  -- When it is worth to ask again: the duration to the earliest instant in the sorted sets.
  local function due_in(keys)
    local earliest = false
    for _, key in ipairs(keys) do
      local first = call("ZRANGE", key, 0, 0, "WITHSCORES")
      local due = first[2] and math.max(0, tonumber(first[2]) - at)
      if due and (not earliest or due < earliest) then
        earliest = due
      end
    end
    return earliest
  end

  -- Puts the summary in front of the reply; what is to be kept of the trip.
  local function summarize()
    for _, told in ipairs(summary) do
      if type(told[4]) == "table" then
        told[4] = due_in(told[4])
      end
    end
    reply[1] = pack({head[H.epoch], at, summary})
    return "l" .. reply[1] .. ARGV[1] .. pack(version, held)
  end

  define("claim", function()
    local told = begin(ARGV[3])
    if told then
      return told
    end
    requests, room = unpacked(ARGV[1]), tonumber(ARGV[4])
    known, wanted, largest, reply, summary, held = {}, {}, nil, {false}, {}, {}
    turn_queues()
    for n, request in ipairs(requests) do
      summary[n], held[n] = (request[1] == 1 and claim_tasks or claim_events)(request)
    end
    keep()
    if changed then
      finish(ARGV[2], summarize)
    else
      summarize()
    end
    return reply
  end, {trip = true})
end
