-- A stream is a Redis stream whose ids are <seq>-0; its entries hold h (version, instant, raw) and b, the body.
-- Beside it lie its head and its groups.

local EVENT = "<i8i8B"
local FIRST, LAST, DROPPED = 2, 3, 4  -- of a stream, behind its version

local function read_stream(stream)
  local data = call("HGET", P .. "s", stream)
  return data and unpacked(data)
end

local function stream_slot(stream)
  return slot_of("stream", stream, read_stream)
end

local function native(stream)
  return P .. "v\0" .. stream
end

local function id_of(seq)
  return int(seq) .. "-0"
end

local function add_event(stream, seq, fixed, body)
  call("XADD", native(stream), id_of(seq), "h", fixed, "b", body)
end

local fixed_parts  -- what lies before the body of an event of this trip, by whether that is raw

-- One more event for the stream, which lies in its slot until it is written. How many these are now.
local function keep_event(slot, seq, raw, body)
  fixed_parts[raw] = fixed_parts[raw] or struct.pack(EVENT, version, at, raw and 1 or 0)
  local n = (slot.appended or 0) + 1
  slot.events = slot.events or {}
  slot.events[n] = {seq, fixed_parts[raw], body}
  return n
end

local dropped  -- streams that may be left with nothing

function flush.stream(slot)
  local stream, was, now = slot.name, slot.was, slot.now
  if not now then
    add("HDEL", P .. "s", stream)
    add("ZREM", P .. "S", stream)
    dropped[stream] = true
    return
  end
  for n = 1, slot.appended or 0 do
    local event = slot.events[n]
    add_event(stream, event[1], event[2], event[3])
  end
  slot.appended = 0
  if now[FIRST] > (was and was[FIRST] or 1) then
    call("XTRIM", native(stream), "MINID", id_of(now[FIRST]))
  end
  add("HSET", P .. "s", stream, packed(now, 4))
  if not was then
    add("ZADD", P .. "S", 0, stream)
  end
  if now[DROPPED] then
    dropped[stream] = true
  end
end

do
  -- Redis keeps an empty stream. One that was dropped goes, unless a group waits for it to be there again.
  local function flush_dropped()
    for stream in pairs(dropped) do
      local found = read_stream(stream)
      local used = found and not found[DROPPED] or call("EXISTS", P .. "g\0" .. stream) == 1
      if not used and call("XLEN", native(stream)) == 0 then
        call("DEL", native(stream))
      end
    end
    dropped = {}
  end

  after_send[#after_send + 1] = flush_dropped
end
resets[#resets + 1] = function()
  dropped, fixed_parts = {}, {}
end
