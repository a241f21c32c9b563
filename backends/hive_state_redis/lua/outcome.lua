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
      local left = 0
      for _, name in ipairs(held[n]) do
        local is_held
        if request[1] == 1 then
          is_held = still_leased(name)
        else
          is_held = still_pending(request[2], request[3], name)
        end
        left = left + (is_held and 1 or 0)
      end
      told[3][n][3] = left
    end
    reply[2] = pack(told)
    return reply
  end)
end
