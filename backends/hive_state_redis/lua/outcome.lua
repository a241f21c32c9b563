-- The stored reply of a trip. If there is none, the trip is made void: it can never be applied any more.
-- ARGV: its id; the milliseconds that this is kept for.
--
-- The reply: nothing; "k" and what is kept of a commit; "l" and the reply of a claim, of which what is not held any
-- more was left out.

do
  local reply, token

  local function still_leased(id)
    local fields = fields_of(id)
    if not fields or unpacked_task(fields)[TOKEN] ~= token then
      return false
    end
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = id, fields, call("HGET", P .. "B", id)
    return true
  end

  local function still_pending(stream, group, seq)
    local data = call("HGET", P .. "p\0" .. stream .. "\0" .. group, int(seq))
    local delivery = data and unpacked(data)
    local entry = call("XRANGE", P .. "v\0" .. stream, int(seq) .. "-0", int(seq) .. "-0")[1]
    if not delivery or not entry or delivery[2] ~= token then
      return false
    end
    local born, when, raw = struct.unpack("<i8i8B", entry[2][2])
    reply[#reply + 1] = pack({seq, token, delivery[3], delivery[5], born, when, raw == 1})
    reply[#reply + 1] = entry[2][4]
    return true
  end

  -- Of a run of claims of tasks: how many each worker still has, of so many as it got.
  local function left_of_tasks(counts, ids)
    local left, place = {}, 0
    for n, count in ipairs(counts) do
      left[n] = 0
      for _ = 1, count do
        place = place + 1
        left[n] = left[n] + (still_leased(ids[place]) and 1 or 0)
      end
    end
    return left
  end

  local function left_of_events(stream, group, seqs)
    local left = 0
    for _, seq in ipairs(seqs) do
      left = left + (still_pending(stream, group, seq) and 1 or 0)
    end
    return left
  end

  define("outcome", function()
    local key = P .. "c\0" .. ARGV[1]
    local data = call("GET", key)
    if not data then
      call("SET", key, "v", "PX", ARGV[2])
      return {}
    end
    local letter, kept = data:sub(1, 1), data:sub(2)
    if letter == "v" then
      return {}
    elseif letter == "k" then
      return {letter, kept}
    end

    local told, requests, version, held = unpacked(kept)
    reply, token = {letter, false}, version
    for n, request in ipairs(requests) do
      if request[1] == 1 then
        told[3][n][3] = left_of_tasks(told[3][n][3], held[n])
      else
        told[3][n][3] = left_of_events(request[2], request[3], held[n])
      end
    end
    reply[2] = pack(told)
    return reply
  end)
end
