-- Whether the namespace is there, and its making and end. ARGV: what is to be done; the control entry of a new
-- namespace; the pattern of all its keys.
--
-- A namespace that is being dropped has a control entry of its own until all its keys are gone, so nobody
-- makes a new one among them. Whoever meets it, goes on with the dropping. The reply: [what was found, whether
-- there is more to be done].

local SCANNED = 1000

define("schema", function()
  local found = call("GET", P .. "h")
  local dropping = found == "dropping"

  if ARGV[1] == "inspect" then
    return {not dropping and found, 0}
  elseif ARGV[1] == "upgrade" and not dropping then
    if not found then
      call("SET", P .. "h", ARGV[2])
    end
    return {found, 0}
  elseif not found then
    return {false, 0}
  end

  call("SET", P .. "h", "dropping")
  local cursor = ARGV[4]
  local scanned = call("SCAN", cursor, "MATCH", ARGV[3], "COUNT", SCANNED)
  for _, key in ipairs(scanned[2]) do
    if key ~= P .. "h" then
      call("UNLINK", key)
    end
  end
  if scanned[1] ~= "0" then
    return {found, 1, scanned[1]}
  end
  call("DEL", P .. "h")
  return {found, 0}
end, {anywhere = true})
