-- The fields of all tasks lie in one hash by id, their payloads in another, and their results in a third: so what a
-- trip has to know of many tasks is read by one command, and written by one.

local VERSION, QUEUE, STATE, PRIORITY, ORDER, DUE = 1, 2, 3, 4, 5, 6  -- then: whether the payload is raw
local DEDUPE, LANE, PARENTS, UNMET = 8, 9, 10, 11
local ATTEMPT, MOST, TOKEN, UNTIL, WORKER, STOP, ERROR, RESULT_RAW = 12, 13, 14, 15, 16, 17, 18, 19
local CREATED, UPDATED, FINISHED, TASK_SIZE = 20, 21, 22, 22
local WAITING, SCHEDULED, READY, LEASED, COMPLETED, CANCELLED, GIVEN_UP = 1, 2, 3, 4, 5, 6, 7
local LEASE_EXPIRED = "lease expired"

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

local function write_fields(id, task)
  local fields = packed(task, TASK_SIZE)
  ahead[id] = fields
  add("HSET", P .. "t", id, fields)
  return fields
end

local function read_task(id)
  local fields = fields_of(id)
  return fields and unpacked(fields)
end

local function task_slot(id)
  return slot_of("task", id, read_task)
end

resets[#resets + 1] = function()
  ahead = {}
end
