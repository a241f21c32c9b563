-- Operations that are the only one of their batch, and plain: they need no slots, as no other batch of the trip can
-- see them. What they give is the outcome, see `commit.lua`; false: it is not that plain, and goes the long way. They
-- leave no marks, so they are for a store without sinks.

local quick = {}

-- The reply to a trip with these outcomes; nothing stands for such as are all plain.
local function all_done(outcomes)
  return "\148" .. pack(head[H.epoch], at, version, outcomes or 0)
end

-- What is kept of a trip that got this reply.
local function kept_commit(reply)
  return "k" .. struct.pack("<I4", #reply) .. reply .. ARGV[1]
end

-- A record over which a put may go without more ado, perhaps with a version that is expected: it is there, has no end, and
-- its index entries stay. Its place, and what it becomes; else nothing.
local function put_over(op)
  local place = P .. "r\0" .. op[2]
  local old = call("GETRANGE", place, 0, FIXED + 255)
  if old == "" then
    return
  end
  local actual, created, created_at, _, _, flags, size = struct.unpack(RECORD, old)
  local index = op[5] and ARGV[op[5]] or ""
  if (op[7] and op[7] ~= actual) or flags > RAW or (op[6] and op[6] ~= -1) or size > 256 or old:sub(FIXED + 1, FIXED + size) ~= index then
    return
  end
  local fixed = struct.pack(RECORD, version, created, created_at, at, 0, op[4] and RAW or 0, size)
  return place, fixed .. index .. ARGV[op[3]]
end

quick[1] = function(op)  -- put
  local place, record = put_over(op)
  if not place then
    return false
  end
  put_string(place, record)
  return 1
end

-- What all tasks that the trip adds begin with.
local function added_bytes()
  return common_bytes(version, at, 0, NEVER, NEVER) .. attempt_bytes(0) .. flag_byte(false) .. flag_byte(false)
end

-- The fields as `new_task` and `packed_task` make them, without a dedupe key and parents: what comes before the packed
-- order, and what comes behind it.
local function around_order(added, state, queue, priority, due_at, lane, most, raw)
  return added .. string.char(state) .. pack(nil, queue, nil, priority), pack(due_at, lane, {}, 0, most, nil, at, raw)
end

-- And whole.
local function new_fields(op, added, state, due_at, order)
  local before, behind = around_order(added, state, op[3], op[6], due_at, op[10], op[8], op[5])
  return before .. pack(order) .. behind
end

-- And what all begin with that it completes.
local function ended_bytes()
  return common_bytes(version, at, 0, NEVER, at)
end

do
  local added, completed

  resets[#resets + 1] = function()
    added, completed = nil, nil
  end

  quick[4] = function(op)  -- enqueue: a new task, without a dedupe key and parents
    local id, queue, delay = op[2], op[3], op[7]
    if op[9] or op[11] or fields_of(id) then
      return false
    end
    added = added or added_bytes()
    local state, due_at, order = delay > 0 and SCHEDULED or READY, at + delay, next_order()
    write_fields(id, new_fields(op, added, state, due_at, order))
    add("HSET", P .. "B", id, ARGV[op[4]])
    add("ZADD", P .. "T", "0", id)
    add("ZADD", P .. "u\0" .. queue, "0", id)
    if delay > 0 then
      add("ZADD", P .. "d\0" .. queue, instant_text(due_at), id)
    else
      local lane, member = ready_place(id, queue, op[10], op[6], due_at, order)
      add("ZADD", lane, "0", member)
      touched_lane(lane, queue, op[10], true)
    end
    count(queue, state, 1)
    return 1
  end

  quick[5] = function(op)  -- complete: without a dedupe key and children
    local id = op[2]
    local fields = childless and fields_of(id)
    if not fields then
      return false
    end
    completed = completed or ended_bytes()
    local queue, new = completed_bytes(fields, op[3], completed, op[5])
    if not queue then
      return false
    end
    write_fields(id, new)
    if op[4] then
      add("HSET", P .. "R", id, ARGV[op[4]])
    end
    add("ZREM", leased_key(queue), id)
    add("ZADD", ended_key(COMPLETED), instant_text(at), id)
    count(queue, LEASED, -1)
    count(queue, COMPLETED, 1)
    return 1
  end
end

-- Whether a stream has had an event, and is not dropped: the seq of the next one is over 1.
local function goes_on(stream)
  return stream and stream[LAST] > 0 and not stream[DROPPED]
end

quick[14] = function(op)  -- append
  local slot = stream_slot(op[2])
  local stream = slot.now
  if not goes_on(stream) then
    return false
  end
  local seq = stream[LAST] + 1
  slot.appended = keep_event(slot, seq, op[4], ARGV[op[3]])
  slot.now = {version, stream[FIRST], seq, false}
  return seq
end
