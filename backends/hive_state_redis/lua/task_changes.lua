-- What becomes of a task, whoever brings it about.

local function put_task(slot, new)
  local old, dedupe_key = slot.now, new[DEDUPE]
  set(slot, "now", new)
  if dedupe_key then
    local lived, lives = old and old[STATE] <= LEASED, new[STATE] <= LEASED
    local holder = holder_of(new[QUEUE], dedupe_key)
    if lives and not lived then
      set(holder, "id", slot.name)
    elseif lived and not lives then
      free_place(holder, slot.name)
    end
  end
  return new[STATE]
end

local function next_order()
  head[H.order] = head[H.order] + 1
  return head[H.order]
end

-- `op`: an enqueue.
local function new_task(op, state, due_at, parents, unmet)
  return {version, at, 0, nil, nil, 0, false, false, state, nil, op[3], op[9], op[6], next_order(), due_at, op[10],
    parents, unmet, op[8], nil, at, op[5]}
end

local function changed_task(task, state)
  local new = copied(task, TASK_SIZE)
  new[VERSION], new[UPDATED], new[STATE] = version, at, state
  return new
end

local function unleased(task, state)
  local new = changed_task(task, state)
  new[TOKEN], new[UNTIL], new[WORKER] = 0, nil, nil
  new[FINISHED] = state >= COMPLETED and at or nil
  return new
end

local function runnable(due_at)
  return due_at <= at and READY or SCHEDULED
end

local function claimed_task(task, worker, lease)
  local new = changed_task(task, LEASED)
  new[ATTEMPT] = task[ATTEMPT] + 1
  new[TOKEN], new[UNTIL], new[WORKER] = version, at + lease, worker
  return new
end

local function expired_task(task)
  local state = READY
  if task[STOP] then
    state = CANCELLED
  elseif task[ATTEMPT] >= task[MOST] then
    state = GIVEN_UP
  end
  local new = unleased(task, state)
  new[ERROR] = LEASE_EXPIRED
  return new
end

local function release_children(parent)
  for _, child in ipairs(children_of(parent)) do
    local slot = task_slot(child)
    local new = changed_task(slot.now, slot.now[STATE])
    new[UNMET] = new[UNMET] - 1
    if new[STATE] == WAITING and new[UNMET] == 0 then
      new[STATE] = runnable(new[DUE])
    end
    put_task(slot, new)
    set(edges_of(parent), child, false)
  end
end

-- The slot of a task whose lease is current, which the pre-state decides.
local function leased_slot(id, token)
  local slot = task_slot(id)
  local actual = slot.was and slot.was[TOKEN] or 0
  if actual == 0 or actual ~= token then
    refuse(REASON.lease, token, actual)
    return
  end
  return slot
end

-- Parents that are not completed; nothing if one is not there.
local function unmet_parents(parents)
  local unmet = {}
  for place, parent in ipairs(parents) do
    local task = task_slot(parent).now
    if not task then
      refuse(REASON.missing, 0, 0, place)
      return
    end
    if task[STATE] ~= COMPLETED then
      unmet[#unmet + 1] = parent
    end
  end
  return unmet
end
