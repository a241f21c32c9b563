-- What a trip that writes works on. It is decided on tables of Lua, and written at its end: Redis rolls
-- nothing back, so from the first write on nothing may fail.
--
-- An entity that was read lies in a slot: `was` is what the store holds, `now` what the trip makes of it
-- (false: it is not there). Neither is ever changed in place.

local at, version = 0, 0
local changed = false
local slots
local flush = {}  -- by kind: write what became of a slot
local before_send, after_send = {}, {}  -- what goes with the entities: places, counters, lists of names

-- The slot of an entity; `read` gives what the store holds.
local function slot_of(kind, name, read, ...)
  local slot = slots[kind][name]
  if not slot then
    local found = read(name, ...)
    slot = {name = name, was = found, now = found}
    slots[kind][name] = slot
  end
  return slot
end

-- What the batch at hand has set, so that it can be taken back: table, field and old value in turn.
local journal, noted = {}, 0  -- what lies behind the first `noted` of it is old

local function set(table, field, value)
  journal[noted + 1], journal[noted + 2], journal[noted + 3] = table, field, table[field]
  noted = noted + 3
  table[field] = value
end

local function undo()
  for n = noted, 3, -3 do
    journal[n - 2][journal[n - 1]] = journal[n]
  end
  noted = 0
end

local function keep()
  changed = changed or noted > 0
  noted = 0
end

-- Why the operation at hand does not allow its batch.
local REASON = {version = 1, lease = 2, missing = 3, commit = 4}
local refusal

local function refuse(reason, expected, actual, seq)
  refusal = {reason, expected or 0, actual or 0, seq or 0}
end

local function present(record)
  return record and not record.dead and (not record.expires_at or record.expires_at > at) and record
end

local LETTER = {record = "r", task = "t", queue = "q", commit = "c", stream = "s", group = "g", pending = "p"}

local write_slots

do
  -- For each sink the mark, and in the place of what is removed a Gone.
  local KINDS = {"record", "task", "queue", "commit", "stream", "group", "pending"}

  local function capture(kind, slot)
    local place = LETTER[kind] .. "\0" .. slot.name
    local now = slot.now
    if not now and kind == "record" then  -- a tombstone's end is no news
      return
    end
    local wanting = {}  -- a cache is told of records only, and nothing is gone for its sake
    for _, sink in ipairs(head[H.sinks]) do
      if kind == "record" or sink ~= "cache" then
        wanting[#wanting + 1] = sink
      end
    end
    if #wanting == 0 then
      return
    end
    local newest = now and (now.version or now[1]) or slot.gone or version
    if now then
      add("ZREM", P .. "X", place)
    else
      add("ZADD", P .. "X", int(newest), place)
    end
    for _, sink in ipairs(wanting) do
      add("ZADD", P .. "K\0" .. sink, int(newest), place)
    end
  end

  function write_slots()
    local captured = #head[H.sinks] > 0
    for _, kind in ipairs(KINDS) do
      for _, slot in pairs(slots[kind]) do
        if slot.now ~= slot.was then
          flush[kind](slot)
          if captured then
            capture(kind, slot)
          end
          slot.was = slot.now
        end
      end
    end
    for _, write in ipairs(before_send) do
      write()
    end
    send()
    for _, write in ipairs(after_send) do
      write()
    end
  end
end

resets[#resets + 1] = function()
  slots = {record = {}, task = {}, queue = {}, commit = {}, stream = {}, group = {}, pending = {}}
  changed, noted, refusal = false, 0, nil
end

local begin, finish, begin_alone, finish_alone

do
  -- The replies of these trips were heard, and go. `heard`: their ids in MessagePack, or nothing.
  local function forget(heard)
    local keys = {}
    for n, id in ipairs(heard and heard ~= "" and unpacked(heard) or {}) do
      keys[n] = P .. "c\0" .. id
    end
    if #keys > 0 then
      call("UNLINK", unpack(keys))
    end
  end

  local function number_trip()
    at = instant()
    version = head[H.term] * 8796093022208 + head[H.counter] + 1
  end

  local function advanced_head()
    head[H.counter] = head[H.counter] + 1
    head[H.clock] = at
    head[H.version] = version
    return packed(head, H.size)
  end

  -- The trip begins: what the caller has to be told, if it must not write.
  function begin(heard)
    if head[H.state] ~= "open" then
      return {"!", head[H.state], head[H.peer] or ""}
    end
    if known_trip then
      return {"void"}
    end
    forget(heard)
    number_trip()
  end

  -- A reply is kept under its trip's id until it is heard, or for a day.
  local DAY = 24 * 3600 * 1000

  local function keep_reply(trip_id, reply, news)
    call("SET", P .. "c\0" .. trip_id, reply, "PX", DAY)
    if news and news ~= "" then
      call("PUBLISH", P .. "b", news)
    end
  end

  -- All that was decided is written, if it is anything. `reply`: that which is kept, or gives it when all is written.
  function finish(trip_id, reply, news)
    if not changed then
      return
    end
    put_string(P .. "h", advanced_head())
    write_slots()
    if type(reply) == "function" then
      reply = reply()
    end
    if trip_id then
      keep_reply(trip_id, reply, news)
    end
  end

  -- A trip of one plain call, or of one run of them, needs nothing of the above: it asks, and then writes, by the commands
  -- themselves. The slots and what is gathered are left as they are, so they are not even made anew. It is for a store
  -- without sinks.
  local ONE = 145  -- what MessagePack has before an array of one

  -- The only request or run of the trip, if it may be done so; else nothing.
  function begin_alone()
    if ARGV[1]:byte() == ONE and head[H.state] == "open" and not known_trip and #head[H.sinks] == 0 then
      number_trip()
      return unpacked(ARGV[1])[1]
    end
  end

  -- All else is written but `strings`, keys and values that go with the head, if there are any.
  function finish_alone(reply, news, strings)
    if strings then
      call("MSET", P .. "h", advanced_head(), unpack(strings))
    else
      call("SET", P .. "h", advanced_head())
    end
    keep_reply(ARGV[2], reply, news)
    forget(ARGV[3])
  end
end
