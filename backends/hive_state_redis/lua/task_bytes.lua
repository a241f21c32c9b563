-- The two changes that are made most, on the bytes of a task's fields: see `tasks.lua` for where what lies.

local claimed_bytes, completed_bytes

do
  local NIL, STRING, STRING_8, STRING_END = 192, 160, 217, 191  -- of MessagePack: nothing, and short strings
  local IS_LEASED, IS_COMPLETED = "\4", "\5\192"  -- the state; behind the latter, no worker

  -- Of a ready task, which has no worker. `common`: see `common_bytes`. `worker`: packed. `known`: a table in which attempt
  -- and flags before claims have those behind them with the state, of which there are a few only.
  function claimed_bytes(fields, common, worker, known)
    local before = fields:sub(49, 59)
    if not known[before] then
      local _, attempt = struct.unpack(">Bi8", before)
      known[before] = attempt_bytes(attempt + 1) .. before:sub(10) .. IS_LEASED
    end
    return common .. known[before] .. worker .. fields:sub(62)
  end

  -- Where what follows the worker begins, if there is one, with a name that is not too long.
  local function behind_worker(fields)
    local first = fields:byte(61)
    if first >= STRING and first <= STRING_END then
      return 62 + first - STRING
    end
    return first == STRING_8 and 63 + fields:byte(62)
  end

  -- The queue, and the fields. Nothing, if it is not leased under this token or has a dedupe key.
  function completed_bytes(fields, token, common, result_raw)
    local from = token ~= 0 and struct.unpack(">i8", fields, 23) == token and behind_worker(fields)
    if from then
      local offset, queue = unpack_one(fields, from - 1)
      if fields:byte(offset + 1) == NIL then
        return queue, common .. fields:sub(49, 58) .. flag_byte(result_raw) .. IS_COMPLETED .. fields:sub(from)
      end
    end
  end
end
