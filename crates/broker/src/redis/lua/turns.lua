-- Prelude of claim.lua: tenants take turns. A turn is as many jobs as the tenant's weight says; the virtual time of its
-- next one lies 1 / weight behind for each job that it got. Jobs without a tenant are the tenant `t:`.

-- Shares `want` jobs among the tenants whose turn it is. One that is held back leaves the ring.
local function allot(want)
  local turns, lanes, left, shared = call('ZRANGE', RING, 0, want - 1, 'WITHSCORES'), {}, want, true
  for i = 1, #turns, 2 do
    local g = gate(turns[i])
    if room(g) < 1 then
      later('ZREM', RING, turns[i])
      parked[turns[i]] = again(g, 0)
    else
      lanes[#lanes + 1] = { name = turns[i], at = tonumber(turns[i + 1]), weight = g.rule.weight or 1, room = room(g),
        count = 0, seen = 0, given = 0 }
    end
  end
  while left > 0 and shared do
    shared = false
    for _, l in ipairs(lanes) do
      local n = math.min(l.weight, l.room - l.count, left)
      if n > 0 then l.count, left, shared = l.count + n, left - n, true end
    end
  end
  return lanes
end
