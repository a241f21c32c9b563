-- Claims of tasks, in runs of requests that differ in nothing but the worker.

local claim_tasks

do
  local run  -- the one at hand: queue, lease, what all its tasks have in common, the worker, how many went at once

  -- Straight away: nobody refuses any more, and without sinks there is no mark to be left.
  local function lease_at_once(id)
    local fields = claimed_bytes(fields_of(id), run.common, run.packed_worker, run.middles)
    write_fields(id, fields)
    add("ZADD", run.leased_key, run.ends, id)
    run.at_once = run.at_once + 1
    return fields
  end

  local function lease_in_slot(id)
    local slot = task_slot(id)
    put_task(slot, claimed_task(slot.now, run.worker, run.lease))
    return packed_task(slot.now)
  end

  local function hand_out(lane)
    local place = lane.next
    local id, payload = lane.ids[place], payload_in(lane, place)
    room_left = room_left - #payload
    lane.next, lane.taken = place + 1, lane.taken + 1
    local n = #handed
    handed[n + 1] = id
    handed[n + 2] = (run.may_be_quick and not slots.task[id] and lease_at_once or lease_in_slot)(id)
    handed[n + 3] = payload
    return id
  end

  local function hand_out_up_to(limit, lanes, ids)
    local given = 0
    while given < limit and room_left >= 0 do
      local lane = first_of(lanes)
      if not lane then
        break
      end
      ids[#ids + 1] = hand_out(lane)
      given = given + 1
    end
    return given
  end

  local function begin_run(queue, lease)
    local ends = at + lease
    run = {queue = queue, lease = lease, leased_key = leased_key(queue), ends = instant_text(ends), at_once = 0, middles = {},
      common = common_bytes(version, at, version, ends, NEVER), may_be_quick = #head[H.sinks] == 0}
  end

  local function end_run()
    if run.at_once > 0 then
      count(run.queue, READY, -run.at_once)
      count(run.queue, LEASED, run.at_once)
      changed = true
    end
  end

  -- What the summary has of a run, and the ids that were handed out. `request`: see `claiming.py`.
  function claim_tasks(request)
    local _, queue, lease, limit, names, workers = unpack(request)
    local setting = queue_slot(queue).now
    local paused = setting and setting[2]
    local lanes = paused and {} or covered_lanes(queue, names)
    local counts, ids, short = {}, {}, false
    begin_run(queue, lease)
    for n, worker in ipairs(workers) do
      run.worker, run.packed_worker = worker, pack(worker)
      counts[n] = hand_out_up_to(limit, lanes, ids)
      short = short or counts[n] < limit
    end
    end_run()
    local due = false
    if short and not paused then
      due = room_left < 0 and 0 or {leased_key(queue), P .. "d\0" .. queue}
    end
    return {1, limit, counts, due, false}, ids
  end
end
