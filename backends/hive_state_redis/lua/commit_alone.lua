-- A trip of one run of operations, or of one of these, as `begin_alone` has it. The functions here write all but the head,
-- and give what else `finish_alone` needs, and the outcome if it is not plain; nothing is written if they give nothing, and
-- the trip goes the way of all others.

local commit_alone

do
  local alone = {}

  alone[1] = put_over

  alone[4] = function(op)  -- enqueue
    local id, queue, lane = op[2], op[3], op[10]
    if op[7] > 0 or op[9] or op[11] or call("HEXISTS", P .. "t", id) == 1 then
      return
    end
    local order = next_order()
    local place, member = ready_place(id, queue, lane, op[6], at, order)
    call("HSET", P .. "t", id, new_fields(op, added_bytes(), READY, at, order))
    call("HSET", P .. "B", id, ARGV[op[4]])
    call("ZADD", P .. "T", 0, id)
    call("ZADD", P .. "u\0" .. queue, 0, id)
    call("ZADD", place, 0, member)
    call("SADD", P .. "l\0" .. queue, lane)
    if call("HINCRBY", P .. "n\0" .. queue, READY, 1) == 1 then
      call("SADD", P .. "Q", queue)
    end
    return true
  end

  alone[5] = function(op)  -- complete
    local id = op[2]
    local fields = call("HGET", P .. "t", id)
    local queue, new = false, nil
    if fields and call("EXISTS", P .. "e\0" .. id) == 0 then
      queue, new = completed_bytes(fields, op[3], ended_bytes(), op[5])
    end
    if not queue then
      return
    end
    local counts = P .. "n\0" .. queue
    call("HSET", P .. "t", id, new)
    if op[4] then
      call("HSET", P .. "R", id, ARGV[op[4]])
    end
    call("ZREM", P .. "x\0" .. queue, id)
    call("ZADD", P .. "z\0" .. COMPLETED, int(at), id)
    call("HINCRBY", counts, COMPLETED, 1)
    if call("HINCRBY", counts, LEASED, -1) == 0 then
      call("HDEL", counts, LEASED)
    end
    return true
  end

  alone[14] = function(op)  -- append
    local name = op[2]
    local stream = read_stream(name)
    if not goes_on(stream) then
      return
    end
    local seq = stream[LAST] + 1
    add_event(name, seq, struct.pack(EVENT, version, at, op[4] and 1 or 0), ARGV[op[3]])
    call("HSET", P .. "s", name, packed({version, stream[FIRST], seq, false}, 4))
    return true, nil, seq
  end

  function commit_alone()
    local op = begin_alone()
    if op and type(op[1]) == "number" and type(op[2]) == "table" then
      return commit_alike(op)
    end
    local write = op and alone[op[1]]
    local key, value, seq
    if write then
      key, value, seq = write(op)
    end
    if key then
      local reply = all_done(seq and {seq})
      finish_alone(kept_commit(reply), ARGV[4], value and {key, value})
      return reply
    end
  end
end
