-- What every function begins with.
--
-- KEYS[1] is what all keys of the store begin with; its hash tag puts them into one slot of a cluster. Then
-- comes a letter for the table, and behind NULs, which no name holds, the parts of the name. `keys.py` has
-- the list of the tables.
--
-- Lua shows numbers with 14 digits, and Redis may write 1e+8: a number that becomes text goes through `int`.
--
-- The library is loaded once and keeps its variables, so what uses them begins by setting them anew.

local P, ARGV
local call, pack, unpacked, unpack_one  -- of Redis, which are not there while the library is loaded

local function int(number)
  return string.format("%.0f", number)
end

-- The same of an instant that is written many times.
local instant_texts

local function instant_text(instant)
  instant_texts[instant] = instant_texts[instant] or int(instant)
  return instant_texts[instant]
end

-- An array of `size` fields as one string; fields may be nil.
local function packed(array, size)
  if size < 16 then
    return string.char(0x90 + size) .. pack(unpack(array, 1, size))
  end
  return string.char(0xdc, 0, size) .. pack(unpack(array, 1, size))
end

local function copied(array, size)
  local copy = {}
  for n = 1, size do
    copy[n] = array[n]
  end
  return copy
end

-- A command with any number of arguments: Lua passes some thousands at once, and no more.
local function many(command, key, arguments)
  for from = 1, #arguments, 4000 do
    call(command, key, unpack(arguments, from, math.min(from + 3999, #arguments)))
  end
end

-- How many more values go into a reply with so much room, if none is larger than what was seen.
local function fitting(room, largest)
  return math.max(1, math.min(256, math.floor(room / math.max(largest, 1))))
end

-- Writes that are gathered, so that each key is written by one command. What is removed goes first.
local COMMANDS = {"ZREM", "SREM", "HDEL", "ZADD", "SADD", "HSET"}
local gathered
local strings  -- whole values: key and value in turn

local function put_string(key, value)
  local n = #strings
  strings[n + 1], strings[n + 2] = key, value
end

local function add(command, key, one, two)
  local arguments = gathered[command][key]
  if not arguments then
    arguments = {}
    gathered[command][key] = arguments
  end
  local n = #arguments
  arguments[n + 1] = one
  arguments[n + 2] = two
end

local function send()
  for _, command in ipairs(COMMANDS) do
    for key, arguments in pairs(gathered[command]) do
      many(command, key, arguments)
    end
    gathered[command] = {}
  end
  for from = 1, #strings, 4000 do
    call("MSET", unpack(strings, from, math.min(from + 3999, #strings)))
  end
  strings = {}
end

-- The control entry: who may write here, and the numbers that grow.
local H = {schema = 1, id = 2, peer = 3, state = 4, term = 5, epoch = 6, sinks = 7, counter = 8, order = 9,
  clock = 10, version = 11, size = 11}
local head

local function write_head()
  call("SET", P .. "h", packed(head, H.size))
end

local known_trip  -- what is kept of the trip, if it was made before, or made void

-- The store's instant. A clock that was set back is waited for.
local function instant()
  local time = call("TIME")
  return math.max(time[1] * 1000 + math.floor(time[2] / 1000), head[H.clock])
end

local resets = {}  -- what sets the variables of a file anew

resets[1] = function()
  gathered = {ZREM = {}, SREM = {}, HDEL = {}, ZADD = {}, SADD = {}, HSET = {}}
  strings, instant_texts = {}, {}
end

local function begin_call(keys, arguments, traits)
  call, pack, unpacked, unpack_one = redis.call, cmsgpack.pack, cmsgpack.unpack, cmsgpack.unpack_one
  P, ARGV = keys[1], arguments
  local entry
  if traits.trip then
    entry, known_trip = unpack(call("MGET", P .. "h", P .. "c\0" .. ARGV[2]))
  else
    entry = call("GET", P .. "h")
  end
  head = entry and entry ~= "dropping" and unpacked(entry)
end

-- A function of the library. `reads`: it changes nothing. `anywhere`: also where there is no namespace. `trip`: a trip,
-- whose id is the second argument. `alone`: tried first, with none of the variables set anew; its reply, or nothing if it
-- is not for that.
local function define(name, run, traits)
  traits = traits or {}
  local function called(keys, arguments)
    begin_call(keys, arguments, traits)
    if not head and not traits.anywhere then
      return {"?"}
    end
    local reply = traits.alone and traits.alone()
    if not reply then
      for _, reset in ipairs(resets) do
        reset()
      end
      reply = run()
    end
    ARGV = nil
    return reply
  end
  redis.register_function{function_name = LIBRARY .. "_" .. name, callback = called,
    flags = traits.reads and {"no-writes"} or {}}
end
