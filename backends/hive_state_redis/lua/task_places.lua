-- Where a task is found besides by its id, which its state decides. Ready tasks of one queue and one set of
-- requirements (a lane) have a sorted set of equal scores, whose members begin with fixed-width numbers: priority,
-- due instant, order.

local PLACE, PLACE_SIZE, BIAS = ">HI8I8", 18, 2 ^ 52
local count, ready_place, leased_key, ended_key, touched_lane  -- also for those who write a task at once

do
  local leased_keys, ended_keys  -- by queue, by state: to join them for each task would cost more than the rest

  function leased_key(queue)
    leased_keys[queue] = leased_keys[queue] or P .. "x\0" .. queue
    return leased_keys[queue]
  end

  function ended_key(state)
    ended_keys[state] = ended_keys[state] or P .. "z\0" .. int(state)
    return ended_keys[state]
  end

  function ready_place(id, queue, lane, priority, due_at, order)
    local place = struct.pack(PLACE, priority + 32768, due_at + BIAS, order + BIAS)
    return P .. "y\0" .. queue .. "\0" .. lane, place .. id
  end

  -- Where a task is found, besides by its id: key, score, member.
  local function place_of(id, task)
    local state, queue = task[STATE], task[QUEUE]
    if state == READY then
      local key, member = ready_place(id, queue, task[LANE], task[PRIORITY], task[DUE], task[ORDER])
      return key, 0, member
    elseif state == SCHEDULED then
      return P .. "d\0" .. queue, task[DUE], id
    elseif state == LEASED then
      return leased_key(queue), task[UNTIL], id
    elseif state >= COMPLETED then
      return ended_key(state), task[FINISHED], id
    end
  end

  -- How many tasks of a queue are in a state; which queues and lanes there are.
  local counts

  function count(queue, state, change)
    counts[queue] = counts[queue] or {}
    counts[queue][state] = (counts[queue][state] or 0) + change
  end

  local function flush_counts()
    for queue, changes in pairs(counts) do
      local key, came, went = P .. "n\0" .. queue, false, false
      for state, change in pairs(changes) do
        local number = change ~= 0 and call("HINCRBY", key, state, change)
        if number == 0 then
          call("HDEL", key, state)
          went = true
        elseif number == change then
          came = true
        end
      end
      if came then
        call("SADD", P .. "Q", queue)
      elseif went and call("EXISTS", key) == 0 then
        call("SREM", P .. "Q", queue)
      end
    end
    counts = {}
  end

  after_send[#after_send + 1] = flush_counts

  local lanes  -- those that were added to or taken from, by key

  -- A ready task came to this lane, or left it.
  function touched_lane(key, queue, lane, came)
    local known = lanes[key]
    if not known then
      lanes[key] = {queue, lane, came}
    elseif came then
      known[3] = true
    end
  end

  local function flush_lanes()
    for key, lane in pairs(lanes) do
      if lane[3] then
        call("SADD", P .. "l\0" .. lane[1], lane[2])
      elseif call("EXISTS", key) == 0 then
        call("SREM", P .. "l\0" .. lane[1], lane[2])
      end
    end
    lanes = {}
  end

  after_send[#after_send + 1] = flush_lanes
  resets[#resets + 1] = function()
    counts, lanes, leased_keys, ended_keys = {}, {}, {}, {}
  end

  local function flush_place(id, was, now)
    local old, score, member, new, new_score, new_member
    if was then
      old, score, member = place_of(id, was)
    end
    if now then
      new, new_score, new_member = place_of(id, now)
    end
    if old == new and score == new_score and member == new_member then
      return
    end
    if old then
      add("ZREM", old, member)
      if was[STATE] == READY then
        touched_lane(old, was[QUEUE], was[LANE], false)
      end
    end
    if new then
      add("ZADD", new, new_score, new_member)
      if now[STATE] == READY then
        touched_lane(new, now[QUEUE], now[LANE], true)
      end
    end
  end

  local function flush_existence(id, was, now)
    if was and (not now or was[QUEUE] ~= now[QUEUE]) then
      add("ZREM", P .. "u\0" .. was[QUEUE], id)
    end
    if now and (not was or was[QUEUE] ~= now[QUEUE]) then
      add("ZADD", P .. "u\0" .. now[QUEUE], 0, id)
    end
    if now and not was then
      add("ZADD", P .. "T", 0, id)
    elseif was and not now then
      add("ZREM", P .. "T", id)
    end
  end

  function flush.task(slot)
    local id, was, now = slot.name, slot.was, slot.now
    if now then
      write_fields(id, packed_task(now))
    else
      ahead[id] = false
      add("HDEL", P .. "t", id)
      add("HDEL", P .. "B", id)
    end
    if slot.payload then
      add("HSET", P .. "B", id, slot.payload)
    end
    if now and slot.result then
      add("HSET", P .. "R", id, slot.result)
    elseif not now or slot.result == false then
      add("HDEL", P .. "R", id)
    end
    flush_place(id, was, now)
    if not (was and now) or was[QUEUE] ~= now[QUEUE] then
      flush_existence(id, was, now)
    end
    if was then
      count(was[QUEUE], was[STATE], -1)
    end
    if now then
      count(now[QUEUE], now[STATE], 1)
    end
  end
end
