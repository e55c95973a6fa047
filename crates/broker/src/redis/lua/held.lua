-- Prelude: leases as their owners name them.

-- The heads of the jobs whose leases are held, by position: running, and with the same token. A lease whose time is
-- over is still held until somebody takes the job back: nobody else has it, and finished work is not thrown away. Also
-- whose attempts were ended by these very tokens: taking a job back changes the token, ending it does not.
local function held(ids, tokens)
  local mine, over = {}, {}
  if #ids == 0 then return mine, over end
  for i, raw in ipairs(call('HMGET', HEAD, unpack(ids))) do
    local h = raw and parse(raw)
    if h and h.token == tonumber(tokens[i]) then
      if h.state == 'r' then mine[i] = h else over[i] = true end
    end
  end
  return mine, over
end
