-- What is known of a queue beside its tasks: whether it is paused.

local queue_slot

do
  local function read_queue(queue)
    local data = call("HGET", P .. "q", queue)
    return data and unpacked(data)
  end

  function queue_slot(queue)
    return slot_of("queue", queue, read_queue)
  end
end

function flush.queue(slot)
  if slot.now then
    add("HSET", P .. "q", slot.name, packed(slot.now, 2))
  else
    add("HDEL", P .. "q", slot.name)
  end
end
