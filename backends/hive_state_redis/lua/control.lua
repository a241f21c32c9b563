-- The control row. ARGV: "read", or what a change has to find and leaves: the epoch, whether the store is empty,
-- whether a mark of the peer is left, the term of the highest version; then peer, state, term and sinks.
--
-- The reply: whether it was changed; the control entry as it is now; whether the store is empty; whether a mark
-- of the peer is left.

define("control", function()
  local empty = call("EXISTS", P .. "C", P .. "T", P .. "q", P .. "S", P .. "F", P .. "M", P .. "X") == 0
  local undelivered = call("EXISTS", P .. "K\0peer") == 1
  local done = false
  if ARGV[1] ~= "read" then
    local epoch, was_empty, was_undelivered, term, peer, state, new_term, sinks = unpack(unpacked(ARGV[1]), 1, 8)
    if epoch == head[H.epoch] and empty == was_empty and undelivered == was_undelivered
      and term == math.floor(head[H.version] / 8796093022208) then
      local kept = {}
      for _, sink in ipairs(sinks) do
        kept[sink] = true
      end
      for _, sink in ipairs(head[H.sinks]) do
        if not kept[sink] then
          call("UNLINK", P .. "K\0" .. sink)
        end
      end
      head[H.peer], head[H.state], head[H.term], head[H.sinks] = peer, state, new_term, sinks
      head[H.epoch] = epoch + 1
      write_head()
      done = true
    end
  end
  return {done and 1 or 0, call("GET", P .. "h"), empty and 1 or 0, undelivered and 1 or 0}
end)
