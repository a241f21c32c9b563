-- One trip of batches. ARGV: the batches (see `encoding.py`), the trip's id, the news, then the values.
--
-- The reply is one MessagePack array: epoch, instant, version, outcomes; 0 stands for outcomes that are all
-- plain. An outcome is 1 (plain: it changed something, and its results say nothing more), [changed, results],
-- [reason, in a check, index, expected, actual, seq], or [nil, a remembered commit].

do
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

  define("commit", function()
    local told = begin(ARGV[2])
    if told then
      return told
    end
    local outcomes, all_plain = {}, true
    local batches = unpacked(ARGV[1])
    for place, batch in ipairs(batches) do
      local outcome = batch[3] and recall(batch)
      if not outcome then
        outcome = run(batch)
        if batch[3] and (outcome == 1 or type(outcome[1]) == "boolean") then
          remember(batch, outcome)
        end
        keep()
        all_plain = all_plain and outcome == 1
        outcome = pack(outcome)
      else
        all_plain = false
      end
      outcomes[place] = outcome
    end

    local reply
    if all_plain then
      reply = "\148" .. pack(head[H.epoch], at, version, 0)
    else
      local n = #outcomes
      reply = "\148" .. pack(head[H.epoch], at, version) .. string.char(0xdc, math.floor(n / 256), n % 256)
        .. table.concat(outcomes)
    end
    finish(ARGV[2], "k" .. struct.pack("<I4", #reply) .. reply .. ARGV[1], ARGV[3])
    return reply
  end)
end
