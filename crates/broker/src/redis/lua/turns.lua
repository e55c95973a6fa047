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
        count = 0 }
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

-- One round: gives out up to `want` jobs. Answers whether there was a tenant to give to.
local function turn_round(want, max)
  flush()
  local lanes, ids, orders, turn = allot(want), {}, {}, tonumber(known(7) or 0)
  for _, l in ipairs(lanes) do
    if l.name ~= 't:' and l.count > 0 then
      local from, to = bounds(l.name)
      l.texts, l.first = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, l.count), #ids
      open(l.name, l.texts, ids, orders)
    end
  end
  local specs, raws = columns(ids)
  for _, l in ipairs(lanes) do
    local before, seen = granted, false
    if l.count > 0 then
      if l.texts then
        for i, text in ipairs(l.texts) do take(text, ids[l.first + i], specs[l.first + i], raws[l.first + i]) end
        seen = #l.texts < l.count
      else
        seen = give_plain(l.count, max)
      end
      turn = math.max(turn, l.at)
      if seen then
        later('ZREM', RING, l.name)
      else
        later('ZADD', RING, exact('%.6f', l.at + (granted - before) / l.weight), l.name)
      end
    end
  end
  meta[7] = exact('%.6f', turn)
  return #lanes > 0
end

-- Gives out up to `max` jobs. Answers whether there may be more.
local function give(max)
  join_ring()
  if call('ZCARD', RING) == 0 then
    while granted < max and not enough(max) do
      if give_plain(max - granted, max) then return false end
      if stopped then break end
    end
    return true
  end
  local from, to = bounds('')
  if not call('ZSCORE', RING, 't:') and (fresh_ones() > 0 or call('ZLEXCOUNT', WAITING, from, to) > 0) then
    call('ZADD', RING, known(7) or 0, 't:')
  end
  while granted < max and not enough(max) do
    if not turn_round(max - granted, max) then return false end
  end
  flush()
  change('turn', meta[7])
  return true
end
