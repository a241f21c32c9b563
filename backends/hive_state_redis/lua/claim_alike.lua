-- Claims of a task each by many workers, from the lane at this key, which has more tasks: as `claim_alone` has it. Nothing,
-- and nothing is written, if the payloads might not fit the reply.

local function claim_alike(queue, lane, ids, workers, ends)
  local many, room = #workers, tonumber(ARGV[4])
  for n = 1, many do
    ids[n] = ids[n]:sub(PLACE_SIZE + 1)
  end
  ids[many + 1] = nil
  if many > fitting(room, #call("HGET", P .. "B", ids[1])) then
    return
  end
  local payloads, before = call("HMGET", P .. "B", unpack(ids)), call("HMGET", P .. "t", unpack(ids))
  local common, until_then, known = common_bytes(version, at, version, ends, NEVER), int(ends), {}
  local reply, fields, leases, given = {false}, {}, {}, {}
  for n = 1, many do
    local id, payload, one, two = ids[n], payloads[n], 2 * n - 1, 2 * n
    local new = claimed_bytes(before[n], common, pack(workers[n]), known)
    fields[one], fields[two] = id, new
    leases[one], leases[two] = until_then, id
    reply[3 * n - 1], reply[3 * n], reply[3 * n + 1] = id, new, payload
    given[n], room = 1, room - #payload
  end
  if room < 0 then
    return
  end
  local counts = P .. "n\0" .. queue
  call("ZREMRANGEBYRANK", lane, 0, many - 1)
  call("HSET", P .. "t", unpack(fields))
  call("ZADD", P .. "x\0" .. queue, unpack(leases))
  call("HINCRBY", counts, READY, -many)
  call("HINCRBY", counts, LEASED, many)
  reply[1] = pack({head[H.epoch], at, {{1, 1, given, false, false}}})
  finish_alone(kept_claim(reply[1], {ids}))
  return reply
end
