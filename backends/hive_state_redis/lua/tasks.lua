-- The fields of all tasks lie in one hash by id, their payloads in another, and their results in a third: so what a
-- trip has to know of many tasks is read by one command, and written by one.

local VERSION, UPDATED, TOKEN, UNTIL, FINISHED, ATTEMPT, STOP, RESULT_RAW, STATE, WORKER = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local QUEUE, DEDUPE, PRIORITY, ORDER, DUE, LANE, PARENTS, UNMET, MOST, ERROR = 11, 12, 13, 14, 15, 16, 17, 18, 19, 20
local TASK_SIZE = 22  -- the last two: the instant of its making, whether the payload is raw
local WAITING, SCHEDULED, READY, LEASED, COMPLETED, CANCELLED, GIVEN_UP = 1, 2, 3, 4, 5, 6, 7
local LEASE_EXPIRED = "lease expired"

local NEVER = -2 ^ 53  -- in the store, instead of an instant

-- The fields are a MessagePack array. What claims and completions change comes first: nine fields of fixed widths, whose
-- bytes are cut and joined (see `task_bytes.lua`), and the worker. What follows stays as it is.
--
--   1..48   the header, and version, instant, token, end of the lease, instant of the end, of 9 bytes each
--   49..57  the attempt    58, 59  was a stop requested, is the result raw    60  the state    61..  the worker
local common_bytes, attempt_bytes, flag_byte, packed_task, unpacked_task

do
  local COMMON, NUMBER = ">BI2Bi8Bi8Bi8Bi8Bi8", ">Bi8"
  local ARRAY, INT, FALSE, TRUE = 220, 211, "\194", "\195"  -- what MessagePack has before them, or for them

  function common_bytes(version, updated, token, ends, finished)
    return struct.pack(COMMON, ARRAY, TASK_SIZE, INT, version, INT, updated, INT, token, INT, ends, INT, finished)
  end

  function attempt_bytes(attempt)
    return struct.pack(NUMBER, INT, attempt)
  end

  function flag_byte(value)
    return value and TRUE or FALSE
  end

  function packed_task(task)
    local ends, finished = task[UNTIL] or NEVER, task[FINISHED] or NEVER
    return common_bytes(task[VERSION], task[UPDATED], task[TOKEN], ends, finished) .. attempt_bytes(task[ATTEMPT])
      .. flag_byte(task[STOP]) .. flag_byte(task[RESULT_RAW]) .. string.char(task[STATE])
      .. pack(unpack(task, WORKER, TASK_SIZE))
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
