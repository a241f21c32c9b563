-- A record is one string: version, created_version, created_at, updated_at, expires_at, flags, the size of
-- its index entries; these; the value. Collections have their keys in byte order.

local RECORD, FIXED = "<i8i8i8i8i8BI4", 45
local RAW, DEAD, EXPIRES = 1, 2, 4
local apply = {}  -- operations by their code in `encoding.py`

local function decode_record(data, place)
  if data == "" then
    return false
  end
  local found, created, created_at, updated_at, expires_at, flags, size = struct.unpack(RECORD, data)
  local index = ""
  if size > 0 then
    index = #data >= FIXED + size and data:sub(FIXED + 1, FIXED + size)
      or call("GETRANGE", place, FIXED, FIXED + size - 1)
  end
  return {
    version = found,
    created = created,
    created_at = created_at,
    updated_at = updated_at,
    expires_at = flags >= EXPIRES and expires_at or nil,
    raw = flags % 2 == RAW,
    dead = flags % 4 >= DEAD,
    index = index,
  }
end

local function read_record(name)
  local place = P .. "r\0" .. name
  return decode_record(call("GETRANGE", place, 0, 255), place)
end

-- `name`: collection and key, a NUL between them.
local function record_slot(name)
  return slot_of("record", name, read_record)
end

local function parts_of(name)
  return name:match("^([^%z]*)%z(.*)$")
end

do
  local function entries(index)
    local found = {}
    if index ~= "" then
      local flat = unpacked(index)
      for n = 1, #flat, 2 do
        found[flat[n] .. "\0" .. flat[n + 1]] = true
      end
    end
    return found
  end

  local function flush_index(slot, old, new)
    local before, behind = entries(old), entries(new)
    local collection, key = parts_of(slot.name)
    local table = P .. "i\0" .. collection .. "\0"
    for entry in pairs(before) do
      if not behind[entry] then
        add("ZREM", table .. entry, key)
      end
    end
    for entry in pairs(behind) do
      if not before[entry] then
        add("ZADD", table .. entry, 0, key)
      end
    end
  end

  -- Whether a record is in a sorted set, before and now.
  local function flush_member(table, score, member, was, is)
    if is then
      if was ~= score then
        add("ZADD", table, score, member)
      end
    elseif was then
      add("ZREM", table, member)
    end
  end

  local collections  -- those that got or lost a key

  local function flush_collections()
    for collection in pairs(collections) do
      if call("EXISTS", P .. "k\0" .. collection, P .. "w\0" .. collection) == 0 then
        call("ZREM", P .. "C", collection)
      else
        call("ZADD", P .. "C", 0, collection)
      end
    end
    collections = {}
  end

  resets[#resets + 1] = function()
    collections = {}
  end
  after_send[#after_send + 1] = flush_collections

  function flush.record(slot)
    local was, now, place = slot.was, slot.now, P .. "r\0" .. slot.name
    if not now then
      call("DEL", place)
    else
      local flags = (now.raw and RAW or 0) + (now.dead and DEAD or 0) + (now.expires_at and EXPIRES or 0)
      local fixed = struct.pack(RECORD, now.version, now.created, now.created_at, now.updated_at,
        now.expires_at or 0, flags, #now.index)
      if now.value or now.dead then
        put_string(place, fixed .. now.index .. (now.value or ""))
      else
        call("SETRANGE", place, 0, fixed)
      end
    end
    local lived, lives = was and not was.dead, now and not now.dead
    local lay, lies = was and was.dead, now and now.dead
    if lived ~= lives or lay ~= lies then
      local collection, key = parts_of(slot.name)
      flush_member(P .. "k\0" .. collection, 0, key, lived and 0, lives)
      flush_member(P .. "w\0" .. collection, 0, key, lay and 0, lies)
      collections[collection] = true
    end
    local old, new = lived and was.expires_at, lives and now.expires_at
    flush_member(P .. "E", new, slot.name, old, new)
    flush_member(P .. "G", lies and now.updated_at, slot.name, lay and was.updated_at, lies)
    local before, behind = lived and was.index or "", lives and now.index or ""
    if before ~= behind then
      flush_index(slot, before, behind)
    end
  end
end

-- A deleted record, as it lies until a sweep.
local function tombstone(record)
  return {version = version, created = record.created, created_at = record.created_at, updated_at = at,
    dead = true, index = ""}
end

local function deadline(ttl)
  return ttl and at + ttl
end

apply[1] = function(op)  -- put: name, value, raw, index, ttl
  local slot = record_slot(op[2])
  local old = present(slot.now)
  local expires_at
  if op[6] == -1 then
    expires_at = old and old.expires_at or nil
  else
    expires_at = deadline(op[6])
  end
  set(slot, "now", {
    version = version,
    created = old and old.created or version,
    created_at = old and old.created_at or at,
    updated_at = at,
    expires_at = expires_at,
    raw = op[4],
    index = op[5] and ARGV[op[5]] or "",
    value = ARGV[op[3]],
  })
  return false
end

apply[2] = function(op)  -- delete: name
  local slot = record_slot(op[2])
  local old = present(slot.now)
  if not old then
    return false
  end
  set(slot, "now", tombstone(old))
  return true
end

apply[3] = function(op)  -- touch: name, ttl
  local slot = record_slot(op[2])
  local old = present(slot.now)
  if not old then
    return false
  end
  set(slot, "now", {
    version = version,
    created = old.created,
    created_at = old.created_at,
    updated_at = at,
    expires_at = deadline(op[3]),
    raw = old.raw,
    index = old.index,
    value = old.value,
  })
  return true
end

-- Checks: the actual version, which the pre-state decides.
local check = {}

check[1] = function(one)  -- version is: name, version
  local record = present(record_slot(one[2]).was)
  return one[3], record and record.version or 0, REASON.version, true
end

check[2] = function(one)  -- created is: name, version
  local record = present(record_slot(one[2]).was)
  return one[3], record and record.created or 0, REASON.version, true
end
