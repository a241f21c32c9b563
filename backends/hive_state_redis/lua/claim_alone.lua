-- A trip of one run of claims of a task each, as `begin_alone` has it, by workers without capabilities: from the one lane
-- that they cover. Nothing, and nothing is written, if the queue has to be turned, was ever paused, or would be as good as
-- empty, or if the payloads might not fit the reply.

local function claim_alone()
  local request = begin_alone()
  if not request or request[1] ~= 1 then
    return
  end
  local _, queue, lease, limit, names, workers = unpack(request)
  if limit > 1 or #names > 0 or is_due(queue) or call("HEXISTS", P .. "q", queue) == 1 then
    return
  end
  local lane, many = P .. "y\0" .. queue .. "\0", #workers
  local ids = call("ZRANGE", lane, 0, many)
  if #ids <= many then  -- the lane would be gone
    return
  end
  ids[many + 1] = nil
  for n = 1, many do
    ids[n] = ids[n]:sub(PLACE_SIZE + 1)
  end
  local payloads = {call("HGET", P .. "B", ids[1])}
  if many > 1 then
    if many > fitting(tonumber(ARGV[4]), #payloads[1]) then
      return
    end
    payloads = call("HMGET", P .. "B", unpack(ids))
  end
  local room, ends = tonumber(ARGV[4]), at + lease
  local before, until_then, known = call("HMGET", P .. "t", unpack(ids)), int(ends), {}
  local common, reply, fields, leases, counts = common_bytes(version, at, version, ends, NEVER), {false}, {}, {}, {}
  for n = 1, many do
    local id, payload, one, two = ids[n], payloads[n], 2 * n - 1, 2 * n
    local new = claimed_bytes(before[n], common, pack(workers[n]), known)
    fields[one], fields[two] = id, new
    leases[one], leases[two] = until_then, id
    reply[3 * n - 1], reply[3 * n], reply[3 * n + 1] = id, new, payload
    counts[n], room = 1, room - #payload
  end
  if room < 0 then
    return
  end
  local numbers = P .. "n\0" .. queue
  call("ZREMRANGEBYRANK", lane, 0, many - 1)
  call("HSET", P .. "t", unpack(fields))
  call("ZADD", P .. "x\0" .. queue, unpack(leases))
  call("HINCRBY", numbers, READY, -many)
  call("HINCRBY", numbers, LEASED, many)
  reply[1] = pack({head[H.epoch], at, {{1, 1, counts, false, false}}})
  finish_alone(kept_claim(reply[1], {ids}))
  return reply
end
