-- One trip of claims. ARGV: the requests (see `claiming.py`), the trip's id, the trips whose replies were heard, the
-- bytes a reply may have.
--
-- The reply: a summary: [epoch, instant, requests], then for each task its id, fields and payload, for each event its
-- delivery and body. Of a run of claims of tasks the summary has [1, limit, how many each worker got, due in, false], of
-- a claim of events [2, stream, how many, due in, missing].

do
  local TURNED = 256  -- tasks of a queue that one claim turns, at most

  local function turn_queues(requests)
    for _, request in ipairs(requests) do
      if request[1] == 1 and expect_claims(request[2], request[4] * #request[6]) then
        turn(request[2], TURNED)
      end
    end
    if noted > 0 then
      keep()
      write_slots()
    end
  end

  -- When it is worth to ask again: the duration to the earliest instant in the sorted sets.
  local function due_in(keys)
    local earliest = false
    for _, key in ipairs(keys) do
      local first = call("ZRANGE", key, 0, 0, "WITHSCORES")
      local due = first[2] and math.max(0, tonumber(first[2]) - at)
      if due and (not earliest or due < earliest) then
        earliest = due
      end
    end
    return earliest
  end

  -- Puts the summary in front of the reply.
  local function summarize(summary)
    for _, told in ipairs(summary) do
      if type(told[4]) == "table" then
        told[4] = due_in(told[4])
      end
    end
    handed[1] = pack({head[H.epoch], at, summary})
  end

  define("claim", function()
    local told = begin(ARGV[3])
    if told then
      return told
    end
    local requests, summary, held = unpacked(ARGV[1]), {}, {}  -- held: ids or seqs, by request
    handed, room_left = {false}, tonumber(ARGV[4])
    turn_queues(requests)
    for n, request in ipairs(requests) do
      summary[n], held[n] = (request[1] == 1 and claim_tasks or claim_events)(request)
    end
    keep()
    finish(ARGV[2], function()
      summarize(summary)
      return kept_claim(handed[1], held)
    end)
    if not handed[1] then  -- nothing changed
      summarize(summary)
    end
    return handed
  end, {trip = true, alone = claim_alone})
end
