-- Prelude: what was held back and may go on.

-- Looks at what is due to be looked at again: a few subjects, a bounded number of jobs. Answers whether there was any.
local function reopen(slice)
  if peek(PARKED) > now then return false end
  for _, subject in ipairs(call('ZRANGEBYSCORE', PARKED, '-inf', now, 'LIMIT', 0, 20)) do
    local g, back = gate(subject), nil
    freed[subject] = nil
    if cut(subject, 1, 2) == 't:' then
      if call('ZLEXCOUNT', WAITING, bounds(subject)) > 0 then
        if room(g) > 0 then joins[subject] = true else back = again(g, 0) end
      end
    else
      local moved, asked = unpark_some(subject, g, slice)
      slice = slice - moved
      -- As many as were asked for: there may be more.
      if moved == asked then back = room(g) > asked and now or again(g, asked) end
    end
    later('ZREM', PARKED, subject)
    if back then later('ZADD', PARKED, exact('%.0f', back), subject) end
    if slice < 1 then break end
  end
  flush()
  first = {}
  return true
end
