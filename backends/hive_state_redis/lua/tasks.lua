-- The fields of all tasks lie in one hash by id, their payloads in another, and their results in a third: so what a
-- trip has to know of many tasks is read by one command, and written by one.

local VERSION, UPDATED, TOKEN, UNTIL, FINISHED, ATTEMPT, STATE, STOP, RESULT_RAW = 1, 2, 3, 4, 5, 6, 7, 8, 9
local QUEUE, WORKER, DEDUPE = 10, 11, 12
local PRIORITY, ORDER, DUE, LANE, PARENTS, UNMET, MOST, ERROR = 13, 14, 15, 16, 17, 18, 19, 20
local TASK_SIZE = 22  -- the last two: the instant of its making, whether the payload is raw
local WAITING, SCHEDULED, READY, LEASED, COMPLETED, CANCELLED, GIVEN_UP = 1, 2, 3, 4, 5, 6, 7
local LEASE_EXPIRED = "lease expired"

local NEVER = -2 ^ 53  -- in the store, instead of an instant
local head_of_fields, opened_head, rest_of_fields, packed_task, unpacked_task

do
  -- The fields are a MessagePack array. Those that each claim and completion changes come first and have fixed widths,
  -- so that they can be changed without decoding the rest: six numbers of 8 bytes, a small one, two booleans.
  local HEAD, OPENED, HEAD_SIZE = ">BI2Bi8Bi8Bi8Bi8Bi8Bi8BBB", ">xxxxi8xi8xi8xi8xi8xi8BBB", 60
  local ARRAY, INT, NIL, FALSE, TRUE = 220, 211, 192, 194, 195  -- what MessagePack has before them, or for them

  function head_of_fields(version, updated, token, ends, finished, attempt, state, stop, result_raw)
    return struct.pack(HEAD, ARRAY, TASK_SIZE, INT, version, INT, updated, INT, token, INT, ends, INT, finished, INT,
      attempt, state, stop and TRUE or FALSE, result_raw and TRUE or FALSE)
  end

  -- Token, attempt, whether a stop was requested, whether the result is raw.
  function opened_head(fields)
    local _, _, token, _, _, attempt, _, stop, result_raw = struct.unpack(OPENED, fields)
    return token, attempt, stop == TRUE, result_raw == TRUE
  end

  -- The queue; what stands behind it and the worker, as it is; whether there is a dedupe key.
  function rest_of_fields(fields)
    local offset, queue = unpack_one(fields, HEAD_SIZE)
    offset = unpack_one(fields, offset)
    return queue, fields:sub(offset + 1), fields:byte(offset + 1) ~= NIL
  end

  function packed_task(task)
    return head_of_fields(task[VERSION], task[UPDATED], task[TOKEN], task[UNTIL] or NEVER, task[FINISHED] or NEVER,
      task[ATTEMPT], task[STATE], task[STOP], task[RESULT_RAW]) .. pack(unpack(task, QUEUE, TASK_SIZE))
  end

  function unpacked_task(fields)
    local task = unpacked(fields)
    if task[UNTIL] == NEVER then
      task[UNTIL] = nil
    end
    if task[FINISHED] == NEVER then
      task[FINISHED] = nil
    end
    return task
  end
end

local ahead  -- fields by id that were read before they were asked for, or are about to be written; false: no such task

-- Read the fields of these tasks now, by one command.
local function look_ahead(ids)
  for from = 1, #ids, 4000 do
    local found = call("HMGET", P .. "t", unpack(ids, from, math.min(from + 3999, #ids)))
    for n, fields in ipairs(found) do
      ahead[ids[from + n - 1]] = fields
    end
  end
end

-- As they lie in the store; false: there is no such task.
local function fields_of(id)
  local fields = ahead[id]
  if fields == nil then
    fields = call("HGET", P .. "t", id)
  end
  return fields
end

local function write_fields(id, fields)
  ahead[id] = fields
  add("HSET", P .. "t", id, fields)
end

local task_slot

do
  local function read_task(id)
    local fields = fields_of(id)
    return fields and unpacked_task(fields)
  end

  function task_slot(id)
    return slot_of("task", id, read_task)
  end
end

resets[#resets + 1] = function()
  ahead = {}
end
