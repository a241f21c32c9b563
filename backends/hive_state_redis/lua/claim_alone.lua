-- A trip of one run of claims of a task each, as `begin_alone` has it, by workers without capabilities: from the one lane
-- that they cover. Nothing, and nothing is written, if the queue has to be turned, was ever paused, or would be as good as
-- empty.

local function claim_alone()
  local request = begin_alone()
  if not request or request[1] ~= 1 then
    return
  end
  local _, queue, lease, limit, names, workers = unpack(request)
  if limit > 1 or #names > 0 or is_due(queue) or call("HEXISTS", P .. "q", queue) == 1 then
    return
  end
  local lane = P .. "y\0" .. queue .. "\0"
  local ready = call("ZRANGE", lane, 0, #workers)
  if #ready <= #workers then  -- the lane would be gone
    return
  end
  if #workers > 1 then
    return claim_alike(queue, lane, ready, workers, at + lease)
  end
  local id, ends, counts = ready[1]:sub(PLACE_SIZE + 1), at + lease, P .. "n\0" .. queue
  local payload = call("HGET", P .. "B", id)
  local fields = claimed_bytes(call("HGET", P .. "t", id), common_bytes(version, at, version, ends, NEVER), pack(workers[1]), {})
  call("ZREMRANGEBYRANK", lane, 0, 0)
  call("HSET", P .. "t", id, fields)
  call("ZADD", P .. "x\0" .. queue, int(ends), id)
  call("HINCRBY", counts, READY, -1)
  call("HINCRBY", counts, LEASED, 1)
  local summary = pack({head[H.epoch], at, {{1, 1, {1}, false, false}}})
  finish_alone(kept_claim(summary, {{id}}))
  return {summary, id, fields, payload}
end
