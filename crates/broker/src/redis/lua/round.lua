-- Prelude of claim.lua: one round of the tenants' turns.

-- One turn of a tenant; those without one have all of theirs at once. Answers 1 if it may have another one.
local function take_turn(l, ids, specs, raws, max)
  local before = granted
  if l.texts then
    local upto = math.min(l.seen + l.weight, #l.texts)
    for i = l.seen + 1, upto do
      local at = l.first + i
      take(l.texts[i], ids[at], specs[at], raws[at])
    end
    l.seen = upto == #l.texts and l.count or upto
  else
    l.over = give_plain(l.count, max)
    l.seen = l.count
  end
  l.given = l.given + granted - before
  return l.seen < l.count and 1 or 0
end

-- One round: gives out up to `want` jobs. Answers whether there was anybody in the ring.
local function turn_round(want, max)
  flush()
  local lanes, any = allot(want)
  local ids, turn = {}, tonumber(known(5) or 0)
  read_aged(lanes)
  for _, l in ipairs(lanes) do
    if l.name ~= 't:' and l.count > 0 then
      local from, to = bounds(l.name)
      -- One more than is wanted tells whether there is more.
      l.texts, l.first = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, l.count + 1), #ids
      l.over = #l.texts <= l.count
      l.texts[l.count + 1] = nil
      mix(l)
      open(l.name, l.texts, ids)
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
    -- Who leaves the ring with nothing left comes back behind what it got.
    if l.given > 0 then turn = math.max(turn, l.at + (l.given - (l.over and 0 or 1)) / l.weight) end
  end
  for _, l in ipairs(lanes) do
    if l.over then
      later('ZREM', RING, l.name)
    elseif l.count > 0 then
      if l.texts then count_aged(l) end
      -- Who had less than a share because of a limit does not make up for it later.
      local at = l.at + l.given / l.weight
      later('ZADD', RING, exact('%.6f', l.count == l.room and math.max(at, turn) or at), l.name)
    end
  end
  meta[5] = exact('%.6f', turn)
  return any
end
