-- What lies in the place of an entity: a string, or fields, payload and result of a task; false: it is not there.

local function stored_task(id)
  local fields = fields_of(id)
  return fields and {fields, call("HGET", P .. "B", id), call("HGET", P .. "R", id)}
end

local lookup = {
  r = function(ref) return call("GET", P .. "r\0" .. ref[2] .. "\0" .. ref[3]) end,
  t = function(ref) return stored_task(ref[2]) end,
  q = function(ref) return call("HGET", P .. "q", ref[2]) end,
  s = function(ref) return call("HGET", P .. "s", ref[2]) end,
  g = function(ref) return call("HGET", P .. "g\0" .. ref[2], ref[3]) end,
  p = function(ref) return call("HGET", P .. "p\0" .. ref[2] .. "\0" .. ref[3], int(ref[4])) end,
  c = function(ref) return call("GET", P .. "m\0" .. ref[2]) end,
}
