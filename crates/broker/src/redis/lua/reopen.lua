-- Prelude: what was held back and may go on returns to its place.

-- A job that a kind or key held back goes to its tenant's lane.
local function unpark(text, id, raw)
  later('ZREM', WAITING, text)
  if not raw then return end
  local h = parse(raw)
  if h.damaged then return end
  h.held = ''
  later('ZADD', WAITING, 0, member(id, h))
  later('HSET', HEAD, id, format(h))
  if h.tenant ~= '' then joins['t:' .. h.tenant] = true end
end
-- The jobs of a lane that may start now: as many as there is room for, the one first that has the slot of an ordered key.
local function unpark_some(subject, g, most)
  local count, from, to = math.min(room(g), most), bounds(subject)
  local owner = g.rule.ordered == 1 and g.tokens > 0 and call('ZRANGE', SLOTS, from, to, 'BYLEX', 'LIMIT', 0, 1)[1]
  local texts = {}
  if owner then
    local id = cut(owner, #subject + 2)
    local raw = call('HGET', HEAD, id)
    local h = raw and parse(raw)
    if h and h.held == subject then unpark(member(id, h), id, raw) end
  end
  if count > 0 then texts = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, count) end
  local ids = {}
  for i, text in ipairs(texts) do
    local _, id = read_member(subject, text)
    ids[i] = id
  end
  for i, raw in ipairs(heads(ids)) do unpark(texts[i], ids[i], raw) end
  return #texts, count
end
-- Looks at what is due to be looked at again: a few subjects, a bounded number of jobs.
local function reopen(slice)
  if peek(PARKED) > now then return end
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
    if back then later('ZADD', PARKED, exact('%.0f', back), subject) else later('ZREM', PARKED, subject) end
    if slice < 1 then break end
  end
  flush()
  first = {}
end
