-- Operations on tasks and queues, and the check of a lease.

-- enqueue: id, queue, payload, raw, priority, delay, max_attempts, dedupe_key, lane, parents
apply[4] = function(op)
  local id, queue, dedupe_key, parents = op[2], op[3], op[9], op[11]
  local slot = task_slot(id)
  if slot.now then
    return {id, false}
  end
  local holder = dedupe_key and holder_of(queue, dedupe_key).id
  if holder then
    return {holder, false}
  end
  local unmet = parents and unmet_parents(parents) or {}
  if refusal then
    return
  end
  local due_at = at + op[7]
  local new = new_task(op, #unmet > 0 and WAITING or runnable(due_at), due_at, parents or {}, #unmet)
  set(slot, "payload", ARGV[op[4]])
  put_task(slot, new)
  for _, parent in ipairs(unmet) do
    set(edges_of(parent), id, true)
  end
  return true
end

apply[5] = function(op)  -- complete: id, token, result, raw
  local slot = leased_slot(op[2], op[3])
  if not slot then
    return
  end
  local new = unleased(slot.was, COMPLETED)
  new[RESULT_RAW] = op[5]
  if op[4] then
    set(slot, "result", ARGV[op[4]])
  end
  put_task(slot, new)
  release_children(op[2])
  return false
end

apply[6] = function(op)  -- fail: id, token, error, retry_in
  local slot = leased_slot(op[2], op[3])
  if not slot then
    return
  end
  local task, retry_in = slot.was, op[5]
  local state, due_at = GIVEN_UP, task[DUE]
  if task[STOP] then
    state = CANCELLED
  elseif retry_in and task[ATTEMPT] < task[MOST] then
    due_at = at + retry_in
    state = runnable(due_at)
  end
  local new = unleased(task, state)
  new[DUE], new[ERROR] = due_at, op[4]
  return put_task(slot, new)
end

apply[7] = function(op)  -- release: id, token, delay
  local slot = leased_slot(op[2], op[3])
  if not slot then
    return
  end
  local task, delay = slot.was, op[4]
  local state, due_at = READY, task[DUE]
  if task[STOP] then
    state = CANCELLED
  elseif delay > 0 then
    state, due_at = SCHEDULED, at + delay
  end
  local new = unleased(task, state)
  new[DUE], new[ATTEMPT] = due_at, task[ATTEMPT] - 1
  return put_task(slot, new)
end

apply[8] = function(op)  -- extend: id, token, lease
  local slot = leased_slot(op[2], op[3])
  if not slot then
    return
  end
  local new = changed_task(slot.was, LEASED)
  new[UNTIL] = math.max(slot.was[UNTIL], at + op[4])
  put_task(slot, new)
  return {new[UNTIL], new[STOP]}
end

apply[9] = function(op)  -- cancel: id
  local slot = task_slot(op[2])
  local task = slot.now
  if not task then
    return false
  end
  if task[STATE] == LEASED and not task[STOP] then
    local new = changed_task(task, LEASED)
    new[STOP] = true
    return put_task(slot, new)
  elseif task[STATE] < LEASED then
    local new = changed_task(task, CANCELLED)
    new[FINISHED] = at
    return put_task(slot, new)
  end
  return task[STATE]
end

apply[10] = function(op)  -- redrive: id
  local slot = task_slot(op[2])
  local task = slot.now
  if not task or task[STATE] < CANCELLED then
    return false
  end
  if task[DEDUPE] and holder_of(task[QUEUE], task[DEDUPE]).id then
    return false
  end
  local new = changed_task(task, task[UNMET] > 0 and WAITING or READY)
  new[DUE], new[ATTEMPT], new[STOP], new[FINISHED] = at, 0, false, nil
  put_task(slot, new)
  return true
end

apply[11] = function(op)  -- take: id, worker, lease
  local slot = task_slot(op[2])
  local task = slot.now
  if not task or not (task[STATE] == READY or (task[STATE] == SCHEDULED and task[DUE] <= at)) then
    return 0
  end
  put_task(slot, claimed_task(task, op[3], op[4]))
  return version
end

apply[12] = function(op)  -- prioritize: id, priority
  local slot = task_slot(op[2])
  if not slot.now or slot.now[STATE] > LEASED then
    return false
  end
  local new = changed_task(slot.now, slot.now[STATE])
  new[PRIORITY] = op[3]
  put_task(slot, new)
  return true
end

apply[13] = function(op)  -- set paused: queue, paused
  set(queue_slot(op[2]), "now", {version, op[3]})
  return false
end

check[3] = function(one)  -- lease is: id, token
  local task = task_slot(one[2]).was
  local actual = task and task[TOKEN] or 0
  return one[3], actual, REASON.lease, actual ~= 0
end
