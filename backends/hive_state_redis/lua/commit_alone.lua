-- A trip of one run, or of one operation that is in no run, as `begin_alone` has it. The functions here write all but the
-- head, and give what else `finish_alone` needs, and the outcome if it is not plain; nothing is written if they give
-- nothing, and the trip goes the way of all others.

local commit_alone

do
  local alone = {}

  alone[1] = put_over

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
