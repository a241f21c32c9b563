-- The ready tasks of a queue, in the order in which claims take them.

local covered_lanes, first_of, payload_in, expect_claims

do
  local PAGE = 128
  local wanted  -- how many tasks of a queue, in all
  local known  -- the lanes of a queue, each with a page of its tasks: members, ids, payloads, and which is the next
  local largest  -- payload

  -- So many tasks of the queue will be asked for; whether it is the first time.
  function expect_claims(queue, number)
    local before = wanted[queue]
    wanted[queue] = (before or 0) + number
    return not before
  end

  local function lanes_of(queue)
    if not known[queue] then
      known[queue] = {covered = {}}
      for n, lane in ipairs(call("SMEMBERS", P .. "l\0" .. queue)) do
        known[queue][n] = {lane = lane, queue = queue, key = P .. "y\0" .. queue .. "\0" .. lane, page = {}, next = 1,
          read = 0, taken = 0}
      end
    end
    return known[queue]
  end

  local function turn_page(lane)
    local ids = {}
    lane.page = call("ZRANGE", lane.key, lane.read, lane.read + math.min(PAGE, wanted[lane.queue]) - 1)
    for n, member in ipairs(lane.page) do
      ids[n] = member:sub(PLACE_SIZE + 1)
    end
    lane.ids, lane.payloads, lane.next, lane.read = ids, {}, 1, lane.read + #ids
    if #ids > 0 then
      look_ahead(ids)
    end
  end

  local function look(lane)
    if lane.next > #lane.page then
      turn_page(lane)
    end
    lane.member = lane.page[lane.next]
    return lane.member and lane
  end

  -- Payloads are read as many at a time as surely fit the reply.
  function payload_in(lane, place)
    if not lane.payloads[place] then
      local last = math.min(#lane.ids, place + (largest and fitting(room_left, largest) or 1) - 1)
      for n, payload in ipairs(call("HMGET", P .. "B", unpack(lane.ids, place, last))) do
        lane.payloads[place + n - 1] = payload
        largest = math.max(largest or 0, #payload)
      end
    end
    return lane.payloads[place]
  end

  local function is_covered(lane, capabilities)
    for name in lane:gmatch("[^%z]+") do
      if not capabilities[name] then
        return false
      end
    end
    return true
  end

  -- Those whose tasks may be claimed with these capabilities.
  function covered_lanes(queue, names)
    local lanes, known_as = lanes_of(queue), table.concat(names, "\0")
    local found, capabilities = lanes.covered[known_as], {}
    if not found then
      found = {}
      lanes.covered[known_as] = found
      for _, name in ipairs(names) do
        capabilities[name] = true
      end
      for _, lane in ipairs(lanes) do
        if is_covered(lane.lane, capabilities) then
          found[#found + 1] = lane
        end
      end
    end
    return found
  end

  -- By the numbers that their members begin with.
  local function earlier(one, other)
    local priority, due, order = struct.unpack(PLACE, one.member)
    local its_priority, its_due, its_order = struct.unpack(PLACE, other.member)
    if priority ~= its_priority then
      return priority < its_priority
    elseif due ~= its_due then
      return due < its_due
    end
    return order < its_order
  end

  -- The lane whose next task is to be taken; nothing if all are empty.
  function first_of(lanes)
    if #lanes == 1 then
      return look(lanes[1])
    end
    local first
    for _, lane in ipairs(lanes) do
      if look(lane) and (not first or earlier(lane, first)) then
        first = lane
      end
    end
    return first
  end

  -- What was taken from a lane is what it begins with.
  local function remove_taken()
    for queue, lanes in pairs(known) do
      for _, lane in ipairs(lanes) do
        if lane.taken > 0 then
          call("ZREMRANGEBYRANK", lane.key, 0, lane.taken - 1)
          touched_lane(lane.key, queue, lane.lane, false)
          lane.taken = 0
        end
      end
    end
  end

  before_send[#before_send + 1] = remove_taken
  resets[#resets + 1] = function()
    known, wanted, largest = {}, {}, nil
  end
end
