-- Prelude of claim.lua: tenants take turns. A turn is as many jobs as the tenant's weight says; the virtual time of its
-- next one lies 1 / weight behind for each job that it got. Jobs without a tenant are the tenant `t:`.

-- The tenants whose turn it is, `want` at most. One that is held back leaves the ring.
local function next_lanes(want)
  local lanes, seen = {}, 0
  repeat
    local turns = call('ZRANGE', RING, seen, seen + want - #lanes - 1, 'WITHSCORES')
    for i = 1, #turns, 2 do
      local g = gate(turns[i])
      if room(g) < 1 then
        looked = looked + 1
        later('ZREM', RING, turns[i])
        parked[turns[i]] = again(g, 0)
      else
        lanes[#lanes + 1] = { name = turns[i], at = tonumber(turns[i + 1]), weight = g.rule.weight or 1, room = room(g),
          count = 0, seen = 0, given = 0 }
      end
    end
    seen = seen + #turns / 2
  until #lanes == want or #turns == 0 or seen > want + 1000
  return lanes, seen > 0
end
-- Shares `want` jobs among the tenants whose turn it is. Also answers whether there was anybody in the ring.
local function allot(want)
  local lanes, any = next_lanes(want)
  local left, shared = want, true
  while left > 0 and shared do
    shared = false
    for _, l in ipairs(lanes) do
      local n = math.min(l.weight, l.room - l.count, left)
      if n > 0 then l.count, left, shared = l.count + n, left - n, true end
    end
  end
  return lanes, any
end
