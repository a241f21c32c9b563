-- A trip of one run of operations, see `alike.py`, as `begin_alone` has it. Each function here reads what it has to know of
-- all, and writes all but the head; it gives true, or the whole values that go with the head. Nothing is written if it
-- gives nothing: then one is not as plain as that, and the trip goes the way of all others.

local commit_alike, expanded

do
  local VALUES = 4  -- the arguments before them
  local alike, apart = {}, {}

  local PLAIN = {["\0\0\0\0\0"] = true, ["\1\0\0\0\0"] = true}  -- flags, and the size of no index

  alike[1] = function(common, names, versions)  -- put
    local records, strings = P .. "r\0", {}
    local first, last = struct.pack("<i8", version), struct.pack("<i8i8BI4", at, 0, common[1] and RAW or 0, 0)
    for n = 1, #names do
      local place = records .. names[n]
      local old = call("GETRANGE", place, 0, FIXED - 1)
      if not PLAIN[old:sub(41)] or (versions and struct.unpack("<i8", old) ~= versions[n]) then
        return
      end
      strings[2 * n - 1], strings[2 * n] = place, first .. old:sub(9, 24) .. last .. ARGV[VALUES + n]
    end
    return strings
  end

  alike[4] = function(common, ids)  -- enqueue
    local queue, raw, priority, most, lane = unpack(common)
    local known, order, zero = call("HMGET", P .. "t", unpack(ids)), head[H.order], "0"
    local before, behind = around_order(added_bytes(), READY, queue, priority, at, lane, most, raw)
    local place, member = ready_place("", queue, lane, priority, at, 0)
    local begins = member:sub(1, 10)
    local fields, payloads, listed, ready = {}, {}, {}, {}
    for n = 1, #ids do
      local id, one, two = ids[n], 2 * n - 1, 2 * n
      if known[n] then
        return
      end
      order = order + 1
      fields[one], fields[two] = id, before .. pack(order) .. behind
      payloads[one], payloads[two] = id, ARGV[VALUES + n]
      listed[one], listed[two] = zero, id
      ready[one], ready[two] = zero, begins .. struct.pack(">I8", order + BIAS) .. id
    end
    head[H.order] = order
    call("HSET", P .. "t", unpack(fields))
    call("HSET", P .. "B", unpack(payloads))
    call("ZADD", P .. "T", unpack(listed))
    call("ZADD", P .. "u\0" .. queue, unpack(listed))
    call("ZADD", place, unpack(ready))
    call("SADD", P .. "l\0" .. queue, lane)
    if call("HINCRBY", P .. "n\0" .. queue, READY, #ids) == #ids then
      call("SADD", P .. "Q", queue)
    end
    return true
  end

  alike[5] = function(common, ids, tokens)  -- complete: of one queue
    local raw, ended, links, edge = common[1], ended_bytes(), {}, P .. "e\0"
    for n = 1, #ids do
      links[n] = edge .. ids[n]
    end
    if call("EXISTS", unpack(links)) > 0 then
      return
    end
    local queue, now = nil, int(at)
    local found, fields, results, over = call("HMGET", P .. "t", unpack(ids)), {}, {}, {}
    for n = 1, #ids do
      local id, one, two = ids[n], 2 * n - 1, 2 * n
      local its, new
      if found[n] then
        its, new = completed_bytes(found[n], tokens[n], ended, raw)
      end
      if not its or its ~= (queue or its) then
        return
      end
      queue = its
      fields[one], fields[two] = id, new
      over[one], over[two] = now, id
      if common[2] then
        results[one], results[two] = id, ARGV[VALUES + n]
      end
    end
    local counts = P .. "n\0" .. queue
    call("HSET", P .. "t", unpack(fields))
    if common[2] then
      call("HSET", P .. "R", unpack(results))
    end
    call("ZREM", P .. "x\0" .. queue, unpack(ids))
    call("ZADD", P .. "z\0" .. COMPLETED, unpack(over))
    call("HINCRBY", counts, COMPLETED, #ids)
    if call("HINCRBY", counts, LEASED, -#ids) == 0 then
      call("HDEL", counts, LEASED)
    end
    return true
  end

  function commit_alike(run)
    local code, common, names, numbers = unpack(run)
    local strings = alike[code](common, names, numbers)
    if strings then
      local reply = all_done()
      finish_alone(kept_commit(reply), ARGV[4], strings ~= true and strings)
      return reply
    end
  end

  -- The same run as batches, for the long way: each operation as it is there.

  apart[1] = function(name, place, version, common)
    return {1, name, place, common[1], nil, nil, version}
  end

  apart[4] = function(id, place, _, common)
    local queue, raw, priority, most, lane = unpack(common)
    return {4, id, queue, place, raw, priority, 0, most, nil, lane, nil}
  end

  apart[5] = function(id, place, token, common)
    return {5, id, token, common[2] and place or nil, common[1]}
  end

  function expanded(items)
    local code, common, names, numbers = unpack(items[1], 1, 4)
    if type(common) ~= "table" or type(code) ~= "number" then
      return items
    end
    local batches = {}
    for n, name in ipairs(names) do
      batches[n] = apart[code](name, VALUES + n, numbers and numbers[n], common)
    end
    return batches
  end
end
