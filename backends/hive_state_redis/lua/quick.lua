-- Operations that are the only one of their batch, and plain: written at once, as no other batch of the trip can
-- see them. False: it is not that plain, and goes the long way. They leave no marks, so they are for a store
-- without sinks.

local quick = {}

quick[1] = function(op)  -- put: over a present record, without an end, whose index entries stay
  local place = P .. "r\0" .. op[2]
  local old = call("GETRANGE", place, 0, FIXED + 255)
  if old == "" then
    return false
  end
  local _, created, created_at, _, _, flags, size = struct.unpack(RECORD, old)
  local index = op[5] and ARGV[op[5]] or ""
  if flags > RAW or (op[6] and op[6] ~= -1) or size > 256 or old:sub(FIXED + 1, FIXED + size) ~= index then
    return false
  end
  local fixed = struct.pack(RECORD, version, created, created_at, at, 0, op[4] and RAW or 0, size)
  call("SET", place, fixed .. index .. ARGV[op[3]])
  return true
end

quick[4] = function(op)  -- enqueue: a new task, without a dedupe key and parents
  local id, queue, delay = op[2], op[3], op[7]
  local key = P .. "t\0" .. id
  if op[9] or op[11] or call("EXISTS", key) == 1 then
    return false
  end
  head[H.order] = head[H.order] + 1
  local task = {version, queue, delay > 0 and SCHEDULED or READY, op[6], head[H.order], at + delay, op[5], nil, op[10],
    {}, 0, 0, op[8], 0, nil, nil, false, nil, false, at, at}
  call("HSET", key, "m", packed(task, TASK_SIZE), "p", ARGV[op[4]])
  add("ZADD", P .. "T", 0, id)
  add("ZADD", P .. "u\0" .. queue, 0, id)
  if delay > 0 then
    add("ZADD", P .. "d\0" .. queue, task[DUE], id)
  else
    local lane, member = ready_place(id, task)
    add("ZADD", lane, 0, member)
    came_to_lane(lane, task)
  end
  count(queue, task[STATE], 1)
  return true
end

quick[5] = function(op)  -- complete: without a dedupe key and children
  local id = op[2]
  local key = P .. "t\0" .. id
  local data = call("HGET", key, "m")
  local task = data and unpacked(data)
  if not task or task[TOKEN] == 0 or task[TOKEN] ~= op[3] or task[DEDUPE]
    or call("EXISTS", P .. "e\0" .. id) == 1 then
    return false
  end
  local queue = task[QUEUE]
  task[VERSION], task[UPDATED], task[FINISHED], task[STATE] = version, at, at, COMPLETED
  task[TOKEN], task[UNTIL], task[WORKER], task[RESULT_RAW] = 0, nil, nil, op[5]
  if op[4] then
    call("HSET", key, "m", packed(task, TASK_SIZE), "r", ARGV[op[4]])
  else
    call("HSET", key, "m", packed(task, TASK_SIZE))
  end
  add("ZREM", P .. "x\0" .. queue, id)
  add("ZADD", P .. "z\0" .. COMPLETED, at, id)
  count(queue, LEASED, -1)
  count(queue, COMPLETED, 1)
  return true
end
