-- A task is a hash: m, its fields as an array; p, the payload; r, the result. Where it is found depends on
-- its state. Ready tasks of one queue and one set of requirements (a lane) have a sorted set of equal scores,
-- whose members begin with fixed-width numbers: priority, due instant, order.

local VERSION, QUEUE, STATE, PRIORITY, ORDER, DUE = 1, 2, 3, 4, 5, 6  -- then: whether the payload is raw
local DEDUPE, LANE, PARENTS, UNMET = 8, 9, 10, 11
local ATTEMPT, MOST, TOKEN, UNTIL, WORKER, STOP, ERROR, RESULT_RAW = 12, 13, 14, 15, 16, 17, 18, 19
local CREATED, UPDATED, FINISHED, TASK_SIZE = 20, 21, 22, 22
local WAITING, SCHEDULED, READY, LEASED, COMPLETED, CANCELLED, GIVEN_UP = 1, 2, 3, 4, 5, 6, 7
local PLACE, PLACE_SIZE, BIAS = ">HI8I8", 18, 2 ^ 52
local LEASE_EXPIRED = "lease expired"

local function read_task(id)
  local data = call("HGET", P .. "t\0" .. id, "m")
  return data and unpacked(data)
end

local function task_slot(id)
  return slot_of("task", id, read_task)
end

local function read_queue(queue)
  local data = call("HGET", P .. "q", queue)
  return data and unpacked(data)
end

local function queue_slot(queue)
  return slot_of("queue", queue, read_queue)
end

function flush.queue(slot)
  if slot.now then
    add("HSET", P .. "q", slot.name, packed(slot.now, 2))
  else
    add("HDEL", P .. "q", slot.name)
  end
end

-- Who holds a dedupe place.
local holders

local function holder_of(queue, dedupe_key)
  local name = queue .. "\0" .. dedupe_key
  local holder = holders[name]
  if not holder then
    local id = call("HGET", P .. "D\0" .. queue, dedupe_key)
    holder = {queue = queue, key = dedupe_key, was = id, id = id}
    holders[name] = holder
  end
  return holder
end

-- As a copy of a store may hold for a while two live tasks of one place, the others wait beside it.
local function others_of(holder)
  return P .. "O\0" .. holder.queue .. "\0" .. holder.key
end

local function free_place(holder, id)
  local others = others_of(holder)
  if holder.id ~= id then
    add("SREM", others, id)
    return
  end
  local heir, newest = false, 0
  for _, other in ipairs(call("SMEMBERS", others)) do
    local task = task_slot(other).now
    if other ~= id and task and task[STATE] <= LEASED and task[VERSION] > newest then
      heir, newest = other, task[VERSION]
    end
  end
  set(holder, "id", heir)
end

-- The children that count a parent in `unmet`: what the trip adds to them (true) and takes away (false).
local edges

local function edges_of(parent)
  edges[parent] = edges[parent] or {}
  return edges[parent]
end

local function children_of(parent)
  local changes, found = edges_of(parent), {}
  for _, child in ipairs(call("SMEMBERS", P .. "e\0" .. parent)) do
    if changes[child] == nil then
      found[#found + 1] = child
    end
  end
  for child, linked in pairs(changes) do
    if linked then
      found[#found + 1] = child
    end
  end
  return found
end

local function flush_links()
  for parent, changes in pairs(edges) do
    for child, linked in pairs(changes) do
      add(linked and "SADD" or "SREM", P .. "e\0" .. parent, child)
    end
  end
  for _, holder in pairs(holders) do
    if holder.id and holder.id ~= holder.was then
      add("HSET", P .. "D\0" .. holder.queue, holder.key, holder.id)
      add("SREM", others_of(holder), holder.id)
    elseif holder.was and not holder.id then
      add("HDEL", P .. "D\0" .. holder.queue, holder.key)
    end
    holder.was = holder.id
  end
  edges = {}
end

before_send[#before_send + 1] = flush_links
resets[#resets + 1] = function()
  holders, edges = {}, {}
end

local count, ready_place, came_to_lane  -- also for those who write a task at once

do
  function ready_place(id, task)
    local place = struct.pack(PLACE, task[PRIORITY] + 32768, task[DUE] + BIAS, task[ORDER] + BIAS)
    return P .. "y\0" .. task[QUEUE] .. "\0" .. task[LANE], place .. id
  end

  -- Where a task is found, besides by its id: key, score, member.
  local function place_of(id, task)
    local state, queue = task[STATE], task[QUEUE]
    if state == READY then
      local key, member = ready_place(id, task)
      return key, 0, member
    elseif state == SCHEDULED then
      return P .. "d\0" .. queue, task[DUE], id
    elseif state == LEASED then
      return P .. "x\0" .. queue, task[UNTIL], id
    elseif state >= COMPLETED then
      return P .. "z\0" .. int(state), task[FINISHED], id
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
      local key = P .. "n\0" .. queue
      for state, change in pairs(changes) do
        if change ~= 0 and call("HINCRBY", key, state, change) == 0 then
          call("HDEL", key, state)
        end
      end
      if call("EXISTS", key) == 1 then
        call("SADD", P .. "Q", queue)
      else
        call("SREM", P .. "Q", queue)
      end
    end
    counts = {}
  end

  after_send[#after_send + 1] = flush_counts

  local lanes  -- those that were added to or taken from, by key

  -- A ready task came to this lane, or left it.
  function came_to_lane(key, task)
    lanes[key] = lanes[key] or {task[QUEUE], task[LANE]}
  end

  local function flush_lanes()
    for key, lane in pairs(lanes) do
      call(call("EXISTS", key) == 1 and "SADD" or "SREM", P .. "l\0" .. lane[1], lane[2])
    end
    lanes = {}
  end

  after_send[#after_send + 1] = flush_lanes
  resets[#resets + 1] = function()
    counts, lanes = {}, {}
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
        came_to_lane(old, was)
      end
    end
    if new then
      add("ZADD", new, new_score, new_member)
      if now[STATE] == READY then
        came_to_lane(new, now)
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
    local key = P .. "t\0" .. id
    if not now then
      call("DEL", key)
    elseif slot.payload then
      call("HSET", key, "m", packed(now, TASK_SIZE), "p", slot.payload)
    else
      call("HSET", key, "m", packed(now, TASK_SIZE))
    end
    if slot.result then
      call("HSET", key, "r", slot.result)
    elseif slot.result == false then
      call("HDEL", key, "r")
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

-- What becomes of a task.

local function put_task(slot, new)
  local old, dedupe_key = slot.now, new[DEDUPE]
  set(slot, "now", new)
  if dedupe_key then
    local lived, lives = old and old[STATE] <= LEASED, new[STATE] <= LEASED
    local holder = holder_of(new[QUEUE], dedupe_key)
    if lives and not lived then
      set(holder, "id", slot.name)
    elseif lived and not lives then
      free_place(holder, slot.name)
    end
  end
  return new[STATE]
end

local function changed_task(task, state)
  local new = copied(task, TASK_SIZE)
  new[VERSION], new[UPDATED], new[STATE] = version, at, state
  return new
end

local function unleased(task, state)
  local new = changed_task(task, state)
  new[TOKEN], new[UNTIL], new[WORKER] = 0, nil, nil
  new[FINISHED] = state >= COMPLETED and at or nil
  return new
end

local function runnable(due_at)
  return due_at <= at and READY or SCHEDULED
end

local function claimed_task(task, worker, lease)
  local new = changed_task(task, LEASED)
  new[ATTEMPT] = task[ATTEMPT] + 1
  new[TOKEN], new[UNTIL], new[WORKER] = version, at + lease, worker
  return new
end

local function expired_task(task)
  local state = READY
  if task[STOP] then
    state = CANCELLED
  elseif task[ATTEMPT] >= task[MOST] then
    state = GIVEN_UP
  end
  local new = unleased(task, state)
  new[ERROR] = LEASE_EXPIRED
  return new
end

local function release_children(parent)
  for _, child in ipairs(children_of(parent)) do
    local slot = task_slot(child)
    local new = changed_task(slot.now, slot.now[STATE])
    new[UNMET] = new[UNMET] - 1
    if new[STATE] == WAITING and new[UNMET] == 0 then
      new[STATE] = runnable(new[DUE])
    end
    put_task(slot, new)
    set(edges_of(parent), child, false)
  end
end

-- The slot of a task whose lease is current, which the pre-state decides.
local function leased_slot(id, token)
  local slot = task_slot(id)
  local actual = slot.was and slot.was[TOKEN] or 0
  if actual == 0 or actual ~= token then
    refuse(REASON.lease, token, actual)
    return
  end
  return slot
end

-- Parents that are not completed; nothing if one is not there.
local function unmet_parents(parents)
  local unmet = {}
  for place, parent in ipairs(parents) do
    local task = task_slot(parent).now
    if not task then
      refuse(REASON.missing, 0, 0, place)
      return
    end
    if task[STATE] ~= COMPLETED then
      unmet[#unmet + 1] = parent
    end
  end
  return unmet
end

-- enqueue: id, queue, payload, raw, priority, delay, max_attempts, dedupe_key, lane, parents
apply[4] = function(op)
  local id, queue, dedupe_key, parents = op[2], op[3], op[9], op[11]
  local slot = task_slot(id)
  if slot.now then
    return {id, false}
  end
  local holder = dedupe_key and holder_of(queue, dedupe_key).id
  if holder then
    return {holder, false}
  end
  local unmet = parents and unmet_parents(parents) or {}
  if refusal then
    return
  end
  local due_at = at + op[7]
  head[H.order] = head[H.order] + 1
  local new = {version, queue, #unmet > 0 and WAITING or runnable(due_at), op[6], head[H.order], due_at, op[5],
    dedupe_key, op[10], parents or {}, #unmet, 0, op[8], 0}
  new[STOP], new[RESULT_RAW], new[CREATED], new[UPDATED] = false, false, at, at
  set(slot, "payload", ARGV[op[4]])
  put_task(slot, new)
  for _, parent in ipairs(unmet) do
    set(edges_of(parent), id, true)
  end
  return true
end

apply[5] = function(op)  -- complete: id, token, result, raw
  local slot = leased_slot(op[2], op[3])
  if not slot then
    return
  end
  local new = unleased(slot.was, COMPLETED)
  new[RESULT_RAW] = op[5]
  if op[4] then
    set(slot, "result", ARGV[op[4]])
  end
  put_task(slot, new)
  release_children(op[2])
  return false
end

apply[6] = function(op)  -- fail: id, token, error, retry_in
  local slot = leased_slot(op[2], op[3])
  if not slot then
    return
  end
  local task, retry_in = slot.was, op[5]
  local state, due_at = GIVEN_UP, task[DUE]
  if task[STOP] then
    state = CANCELLED
  elseif retry_in and task[ATTEMPT] < task[MOST] then
    due_at = at + retry_in
    state = runnable(due_at)
  end
  local new = unleased(task, state)
  new[DUE], new[ERROR] = due_at, op[4]
  return put_task(slot, new)
end

apply[7] = function(op)  -- release: id, token, delay
  local slot = leased_slot(op[2], op[3])
  if not slot then
    return
  end
  local task, delay = slot.was, op[4]
  local state, due_at = READY, task[DUE]
  if task[STOP] then
    state = CANCELLED
  elseif delay > 0 then
    state, due_at = SCHEDULED, at + delay
  end
  local new = unleased(task, state)
  new[DUE], new[ATTEMPT] = due_at, task[ATTEMPT] - 1
  return put_task(slot, new)
end

apply[8] = function(op)  -- extend: id, token, lease
  local slot = leased_slot(op[2], op[3])
  if not slot then
    return
  end
  local new = changed_task(slot.was, LEASED)
  new[UNTIL] = math.max(slot.was[UNTIL], at + op[4])
  put_task(slot, new)
  return {new[UNTIL], new[STOP]}
end

apply[9] = function(op)  -- cancel: id
  local slot = task_slot(op[2])
  local task = slot.now
  if not task then
    return false
  end
  if task[STATE] == LEASED and not task[STOP] then
    local new = changed_task(task, LEASED)
    new[STOP] = true
    return put_task(slot, new)
  elseif task[STATE] < LEASED then
    local new = changed_task(task, CANCELLED)
    new[FINISHED] = at
    return put_task(slot, new)
  end
  return task[STATE]
end

apply[10] = function(op)  -- redrive: id
  local slot = task_slot(op[2])
  local task = slot.now
  if not task or task[STATE] < CANCELLED then
    return false
  end
  if task[DEDUPE] and holder_of(task[QUEUE], task[DEDUPE]).id then
    return false
  end
  local new = changed_task(task, task[UNMET] > 0 and WAITING or READY)
  new[DUE], new[ATTEMPT], new[STOP], new[FINISHED] = at, 0, false, nil
  put_task(slot, new)
  return true
end

apply[11] = function(op)  -- take: id, worker, lease
  local slot = task_slot(op[2])
  local task = slot.now
  if not task or not (task[STATE] == READY or (task[STATE] == SCHEDULED and task[DUE] <= at)) then
    return 0
  end
  put_task(slot, claimed_task(task, op[3], op[4]))
  return version
end

apply[12] = function(op)  -- prioritize: id, priority
  local slot = task_slot(op[2])
  if not slot.now or slot.now[STATE] > LEASED then
    return false
  end
  local new = changed_task(slot.now, slot.now[STATE])
  new[PRIORITY] = op[3]
  put_task(slot, new)
  return true
end

apply[13] = function(op)  -- set paused: queue, paused
  set(queue_slot(op[2]), "now", {version, op[3]})
  return false
end

check[3] = function(one)  -- lease is: id, token
  local task = task_slot(one[2]).was
  local actual = task and task[TOKEN] or 0
  return one[3], actual, REASON.lease, actual ~= 0
end

-- What time brings about in a queue: leases that are over are taken away, due tasks promoted, up to `limit` of
-- both, earliest first. How many of each.
local function due_in(table, queue, limit)
  return call("ZRANGEBYSCORE", P .. table .. "\0" .. queue, "-inf", int(at), "WITHSCORES", "LIMIT", 0, limit)
end

local function turn(queue, limit)
  local over, due = due_in("x", queue, limit), due_in("d", queue, limit)
  local leases, promoted = 0, 0
  while leases + promoted < limit do
    local lease, start = over[2 * leases + 2], due[2 * promoted + 2]
    if not lease and not start then
      break
    end
    if lease and (not start or tonumber(lease) <= tonumber(start)) then
      local slot = task_slot(over[2 * leases + 1])
      put_task(slot, expired_task(slot.now))
      leases = leases + 1
    else
      local slot = task_slot(due[2 * promoted + 1])
      put_task(slot, changed_task(slot.now, READY))
      promoted = promoted + 1
    end
  end
  return leases, promoted
end
