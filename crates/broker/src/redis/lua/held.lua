-- Prelude: leases as their owners name them.

-- The heads of the jobs whose leases are held, by position: running, and with the same token. A lease whose time is
-- over is still held until somebody takes the job back: nobody else has it, and finished work is not thrown away.
local function held(ids, tokens)
  local mine = {}
  if #ids == 0 then return mine end
  for i, raw in ipairs(call('HMGET', HEAD, unpack(ids))) do
    local h = raw and parse(raw)
    if h and h.state == 'r' and h.token == tonumber(tokens[i]) then mine[i] = h end
  end
  return mine
end
