-- Images are written if they are newer than what is there. ARGV: [images, notes] (see `loading.py`); the
-- highest version among them, as [highest version, order, instant], and the store's id and epoch
-- if they have to be as expected; the values. The reply: how many were.
--
-- Nothing is decided: no child is released, no dedupe key refused, no clock read.

do
  local written, gones, arrived, is_open
  local regrouped  -- groups whose pending list in Redis is to be filled
  local OPEN_TERMS = 8796093022208  -- versions of a term above 0

  local function gone_at(place)
    if gones[place] == nil then
      gones[place] = tonumber(call("ZSCORE", P .. "X", place) or 0)
    end
    return gones[place]
  end

  local function version_of(entity)
    return entity and (entity.version or entity[1]) or 0
  end

  -- Whether the image of this version is to be written: then what was deleted is back.
  local function outlives(kind, slot, newest)
    local place = LETTER[kind] .. "\0" .. slot.name
    local there = slot.now and version_of(slot.now) or gone_at(place)
    if there >= newest then
      return false
    end
    gones[place] = 0
    add("ZREM", P .. "X", place)
    written = written + 1
    return true
  end

  local function put(kind, slot, new)
    if outlives(kind, slot, version_of(new)) then
      slot.now = new
      return true
    end
  end

  -- Dedupe places: the live task of the highest version has it, the others wait.
  local function take_place(id, task)
    local holder = holder_of(task[QUEUE], task[DEDUPE])
    local rival = holder.id and holder.id ~= id and task_slot(holder.id).now
    if not rival then
      holder.id = id
    elseif rival[VERSION] < task[VERSION] then
      add("SADD", others_of(holder), holder.id)
      holder.id = id
    else
      add("SADD", others_of(holder), id)
    end
  end

  local function place_task(id, old, new)
    if old and old[DEDUPE] and old[STATE] <= LEASED then
      free_place(holder_of(old[QUEUE], old[DEDUPE]), id)
    end
    if new and new[DEDUPE] and new[STATE] <= LEASED then
      take_place(id, new)
    end
  end

  local function link_task(id, old, new)
    for _, parent in ipairs(old and old[PARENTS] or {}) do
      edges_of(parent)[id] = false
    end
    if new and new[UNMET] > 0 then
      for _, parent in ipairs(new[PARENTS]) do
        edges_of(parent)[id] = true
      end
    end
  end

  local load = {}

  function load.record(image)
    put("record", record_slot(image[2]), {
      version = image[3],
      created = image[4],
      created_at = image[5],
      updated_at = image[6],
      expires_at = image[7],
      raw = image[8],
      dead = image[9],
      index = image[10] and ARGV[image[10]] or "",
      value = image[11] and ARGV[image[11]],
    })
  end

  function load.task(image)
    local slot, id = task_slot(image[2]), image[2]
    local old = slot.now
    if put("task", slot, image[3]) then
      slot.payload = ARGV[image[4]]
      slot.result = image[5] and ARGV[image[5]] or false
      place_task(id, old, slot.now)
      link_task(id, old, slot.now)
    end
  end

  function load.queue(image)
    put("queue", queue_slot(image[2]), image[3])
  end

  function load.stream(image)
    put("stream", stream_slot(image[2]), image[3])
  end

  function load.group(image)
    local slot = group_slot(image[2], image[3])
    regrouped[slot.name] = slot
    put("group", slot, image[4])
  end

  function load.pending(image)
    local slot = delivery_slot(image[2], image[3], image[4])
    if put("pending", slot, image[5]) then
      slot.listed = true  -- it is put into Redis's list when its group is there
      grouped[slot.place] = group_slot(image[2], image[3])
      regrouped[slot.place] = grouped[slot.place]
    end
  end

  function load.commit(image)
    put("commit", commit_slot(image[2]),
      {version = image[3], at = image[4], fingerprint = ARGV[image[5]], results = ARGV[image[6]]})
  end

  -- Events: Redis takes them in ascending order only, so those that come late make the stream be written anew.

  function load.event(image)
    local stream, seq = image[2], image[3]
    local found = stream_slot(stream).now
    local own = is_open and found and found[1] >= OPEN_TERMS
    arrived[stream] = arrived[stream] or {}
    local known = arrived[stream][seq] or call("XRANGE", native(stream), id_of(seq), id_of(seq))[1]
    if known or own or (found and seq < found[FIRST]) then
      return
    end
    arrived[stream][seq] = {struct.pack(EVENT, image[4], image[5], image[6] and 1 or 0), ARGV[image[7]]}
    written = written + 1
  end

  local SLOTS = {r = record_slot, t = task_slot, q = queue_slot, s = stream_slot, g = group_slot, p = delivery_slot,
    c = commit_slot}
  local KIND_OF = {r = "record", t = "task", q = "queue", s = "stream", g = "group", p = "pending", c = "commit"}

  function load.gone(image)
    local newest, letter = image[2], image[3]
    local kind, slot = KIND_OF[letter], SLOTS[letter](image[4], image[5], image[6])
    local place = letter .. "\0" .. slot.name
    local old = slot.now
    if (old and version_of(old) or gone_at(place)) >= newest then
      return
    end
    gones[place] = newest
    add("ZADD", P .. "X", int(newest), place)
    written = written + 1
    slot.now, slot.gone = false, newest
    if kind == "task" then
      place_task(image[4], old, false)
      link_task(image[4], old, false)
    elseif kind == "pending" then
      grouped[slot.place] = group_slot(image[4], image[5])
    end
  end

  local function last_of(stream)
    if call("EXISTS", native(stream)) == 0 then
      return 0
    end
    local told = call("XINFO", "STREAM", native(stream))
    for n = 1, #told, 2 do
      if told[n] == "last-generated-id" then
        return tonumber(told[n + 1]:match("^%d+"))
      end
    end
  end

  local function write_anew(stream, seqs, events)
    for _, entry in ipairs(call("XRANGE", native(stream), "-", "+")) do
      local seq = tonumber(entry[1]:match("^%d+"))
      seqs[#seqs + 1] = seq
      events[seq] = {entry[2][2], entry[2][4]}
    end
    call("DEL", native(stream))
    for _, group in ipairs(groups_of(stream)) do
      if group.was then
        call("XGROUP", "CREATE", native(stream), group.group, id_of(group.was[POSITION]), "MKSTREAM")
        regrouped[group.name] = group
      end
    end
  end

  local function write_events()
    for stream, events in pairs(arrived) do
      local seqs = {}
      for seq in pairs(events) do
        seqs[#seqs + 1] = seq
      end
      table.sort(seqs)
      if seqs[1] and seqs[1] <= last_of(stream) then
        write_anew(stream, seqs, events)
        table.sort(seqs)
      end
      for _, seq in ipairs(seqs) do
        add_event(stream, seq, events[seq][1], events[seq][2])
      end
      add("ZADD", P .. "S", 0, stream)
    end
  end

  -- The pending lists of groups that came, or whose deliveries did.
  local function list_deliveries()
    for _, group in pairs(regrouped) do
      if group.now then
        for _, slot in ipairs(deliveries_of(group.stream, group.group, 0, 2 ^ 53)) do
          list_pending(slot)
        end
      end
    end
  end

  define("load", function()
    local highest, order, clock, id, epoch = unpack(unpacked(ARGV[2]))
    is_open = head[H.state] == "open"
    local same = not id or (id == head[H.id] and epoch == head[H.epoch])
    if not same or head[H.state] == "sealed" or (is_open and highest >= OPEN_TERMS) then
      return {"~", head[H.state], head[H.id], head[H.epoch]}
    end
    written, gones, arrived, regrouped = 0, {}, {}, {}
    local images, notes = unpack(unpacked(ARGV[1]))
    for _, image in ipairs(images) do
      load[image[1]](image)
    end
    write_events()
    write_slots()
    list_deliveries()
    write_notes(notes)
    head[H.version] = math.max(head[H.version], highest)
    head[H.order] = math.max(head[H.order], order)
    if not is_open then  -- what is imported into an open store was timed by another clock, which may be wrong
      head[H.clock] = math.max(head[H.clock], clock)
    end
    write_head()
    return written
  end)
end
