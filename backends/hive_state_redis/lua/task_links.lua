-- What ties tasks to one another: dedupe places, and edges from parents to children.

-- Who holds a dedupe place.
local holders

local function holder_of(queue, dedupe_key)
  local name = queue .. "\0" .. dedupe_key
  local holder = holders[name]
  if not holder then
    local id = call("HGET", P .. "D\0" .. queue, dedupe_key)
    holder = {queue = queue, key = dedupe_key, was = id, id = id}
    holders[name] = holder
  end
  return holder
end

-- As a copy of a store may hold for a while two live tasks of one place, the others wait beside it.
local function others_of(holder)
  return P .. "O\0" .. holder.queue .. "\0" .. holder.key
end

local function free_place(holder, id)
  local others = others_of(holder)
  if holder.id ~= id then
    add("SREM", others, id)
    return
  end
  local heir, newest = false, 0
  for _, other in ipairs(call("SMEMBERS", others)) do
    local task = task_slot(other).now
    if other ~= id and task and task[STATE] <= LEASED and task[VERSION] > newest then
      heir, newest = other, task[VERSION]
    end
  end
  set(holder, "id", heir)
end

-- The children that count a parent in `unmet`: what the trip adds to them (true) and takes away (false).
local edges

local function edges_of(parent)
  edges[parent] = edges[parent] or {}
  return edges[parent]
end

-- Most tasks have no children: that none of those which the trip completes has any, is asked at once.
local childless

local function look_for_children(parents)
  local keys = {}
  for n, parent in ipairs(parents) do
    keys[n] = P .. "e\0" .. parent
  end
  childless = #keys > 0 and #keys <= 4000 and call("EXISTS", unpack(keys)) == 0
end

local function children_of(parent)
  if childless and not edges[parent] then
    return {}
  end
  local changes, found = edges_of(parent), {}
  for _, child in ipairs(call("SMEMBERS", P .. "e\0" .. parent)) do
    if changes[child] == nil then
      found[#found + 1] = child
    end
  end
  for child, linked in pairs(changes) do
    if linked then
      found[#found + 1] = child
    end
  end
  return found
end

do
  local function flush_links()
    for parent, changes in pairs(edges) do
      for child, linked in pairs(changes) do
        add(linked and "SADD" or "SREM", P .. "e\0" .. parent, child)
      end
    end
    for _, holder in pairs(holders) do
      if holder.id and holder.id ~= holder.was then
        add("HSET", P .. "D\0" .. holder.queue, holder.key, holder.id)
        add("SREM", others_of(holder), holder.id)
      elseif holder.was and not holder.id then
        add("HDEL", P .. "D\0" .. holder.queue, holder.key)
      end
      holder.was = holder.id
    end
    edges = {}
  end

  before_send[#before_send + 1] = flush_links
end
resets[#resets + 1] = function()
  holders, edges, childless = {}, {}, false
end
