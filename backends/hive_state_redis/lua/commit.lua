-- One trip of batches. ARGV: the batches (see `encoding.py`), the trip's id, the trips whose replies were heard, the
-- news, then the values.
--
-- The reply is one MessagePack array: epoch, instant, version, outcomes; 0 stands for outcomes that are all
-- plain. An outcome is 1 (plain: it changed something, and its results say nothing more), a higher number (the seq of
-- the event that its only operation appended), [changed, results], [reason, in a check, index, expected, actual, seq], or
-- [nil, a remembered commit].

do
  -- The only operation of its batch, a put perhaps with the version that it expects.
  local function run_lone(op, quick_one)
    local done = quick_one and quick_one(op)
    if done then
      changed = true
      return done
    end
    local expected = op[1] == 1 and op[7]
    if expected then
      local record = present(record_slot(op[2]).was)
      local actual = record and record.version or 0
      if actual ~= expected then
        return {REASON.version, true, 0, expected, actual, 0}
      end
    end
    local result = apply[op[1]](op)
    if refusal then
      local refused = {refusal[1], false, 0, refusal[2], refusal[3], refusal[4]}
      refusal = nil
      undo()
      return refused
    end
    if noted > 0 and result == PLAIN_RESULT[op[1]] then
      return 1
    end
    return {noted > 0, {result}}
  end

  local function run(batch)
    for place, one in ipairs(batch[2]) do
      local expected, actual, reason, holds = check[one[1]](one)
      if not holds or actual ~= expected then
        return {reason, true, place - 1, expected, actual, 0}
      end
    end
    local results, plain = {}, true
    for place, op in ipairs(batch[1]) do
      local result = apply[op[1]](op)
      if refusal then
        local refused = {refusal[1], false, place - 1, refusal[2], refusal[3], refusal[4]}
        refusal = nil
        undo()
        return refused
      end
      results[place] = result
      plain = plain and result == PLAIN_RESULT[op[1]]
    end
    if plain and noted > 0 then
      return 1
    end
    return {noted > 0, results}
  end

  -- What will be asked of tasks is read at once.
  local function foresee(batches)
    local ids, ending = {}, {}
    local function see(op)
      if op[1] >= 4 and op[1] <= 12 then
        ids[#ids + 1] = op[2]
        if op[1] == 5 then
          ending[#ending + 1] = op[2]
        end
      end
    end
    for _, batch in ipairs(batches) do
      if type(batch[1]) == "number" then
        see(batch)
      else
        for _, op in ipairs(batch[1]) do
          see(op)
        end
      end
    end
    if #ids > 1 then
      look_ahead(ids)
    end
    look_for_children(ending)
  end

  define("commit", function()
    local told = begin(ARGV[3])
    if told then
      return told
    end
    local outcomes, all_plain = {}, true
    local batches = expanded(unpacked(ARGV[1]))
    foresee(batches)
    local may_be_quick = #head[H.sinks] == 0
    for place, batch in ipairs(batches) do
      local lone = type(batch[1]) == "number"
      local outcome = not lone and batch[3] and recall(batch)
      if not outcome then
        if lone then
          outcome = run_lone(batch, may_be_quick and quick[batch[1]])
        else
          outcome = run(batch)
        end
        if not lone and batch[3] and (outcome == 1 or type(outcome[1]) == "boolean") then
          remember(batch, outcome)
        end
        keep()
        all_plain = all_plain and outcome == 1
        outcome = outcome == 1 and "\1" or pack(outcome)
      else
        all_plain = false
      end
      outcomes[place] = outcome
    end

    local reply
    if all_plain then
      reply = all_done()
    else
      local n = #outcomes
      reply = "\148" .. pack(head[H.epoch], at, version) .. string.char(0xdc, math.floor(n / 256), n % 256)
        .. table.concat(outcomes)
    end
    finish(ARGV[2], kept_commit(reply), ARGV[4])
    return reply
  end, {trip = true, alone = commit_alone})
end
