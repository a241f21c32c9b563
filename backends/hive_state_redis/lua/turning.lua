-- What time brings about in a queue: leases that are over are taken away, due tasks promoted, up to `limit` of
-- both, earliest first. How many of each.
local turn, is_due

do
  local function due_in(table, queue, limit)
    return call("ZRANGEBYSCORE", P .. table .. "\0" .. queue, "-inf", int(at), "WITHSCORES", "LIMIT", 0, limit)
  end

  -- Whether there is anything to be turned.
  function is_due(queue)
    return #due_in("x", queue, 1) > 0 or #due_in("d", queue, 1) > 0
  end

  function turn(queue, limit)
    local over, due = due_in("x", queue, limit), due_in("d", queue, limit)
    local leases, promoted = 0, 0
    while leases + promoted < limit do
      local lease, start = over[2 * leases + 2], due[2 * promoted + 2]
      if not lease and not start then
        break
      end
      if lease and (not start or tonumber(lease) <= tonumber(start)) then
        local slot = task_slot(over[2 * leases + 1])
        put_task(slot, expired_task(slot.now))
        leases = leases + 1
      else
        local slot = task_slot(due[2 * promoted + 1])
        put_task(slot, changed_task(slot.now, READY))
        promoted = promoted + 1
      end
    end
    return leases, promoted
  end
end
