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

-- One turn of a tenant; those without one have all of theirs at once. Answers 1 if it may have another one.
local function take_turn(l, ids, specs, raws, max)
  local before = granted
  if l.texts then
    local upto = math.min(l.seen + l.weight, #l.texts)
    for i = l.seen + 1, upto do
      local at = l.first + i
      take(l.texts[i], ids[at], specs[at], raws[at])
    end
    l.over = #l.texts < l.count
    l.seen = upto == #l.texts and l.count or upto
  else
    l.over = give_plain(l.count, max)
    l.seen = l.count
  end
  l.given = l.given + granted - before
  return l.seen < l.count and 1 or 0
end

-- One round: gives out up to `want` jobs. Answers whether there was a tenant to give to.
local function turn_round(want, max)
  flush()
  local lanes, ids, orders, turn = allot(want), {}, {}, tonumber(known(5) or 0)
  for _, l in ipairs(lanes) do
    if l.name ~= 't:' and l.count > 0 then
      local from, to = bounds(l.name)
      l.texts, l.first = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, l.count), #ids
      open(l.name, l.texts, ids, orders)
    end
  end
  local specs, raws = columns(ids)
  -- Turn by turn, so that the first jobs of the answer are as fair as all of it.
  local left = #lanes
  while left > 0 do
    left = 0
    for _, l in ipairs(lanes) do
      if l.seen < l.count then left = left + take_turn(l, ids, specs, raws, max) end
    end
  end
  for _, l in ipairs(lanes) do
    if l.given > 0 then turn = math.max(turn, l.at + (l.given - 1) / l.weight) end
  end
  for _, l in ipairs(lanes) do
    if l.over then
      later('ZREM', RING, l.name)
    elseif l.count > 0 then
      -- Who had less than a share because of a limit does not make up for it later.
      local at = l.at + l.given / l.weight
      later('ZADD', RING, exact('%.6f', l.count == l.room and math.max(at, turn) or at), l.name)
    end
  end
  meta[5] = exact('%.6f', turn)
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
    call('ZADD', RING, known(5) or 0, 't:')
  end
  while granted < max and not enough(max) do
    if not turn_round(max - granted, max) then return false end
  end
  flush()
  change('turn', meta[5])
  return true
end
