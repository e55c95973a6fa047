-- Prelude: jobs that were held back return to their places.

-- A job that a kind or key held back goes to its tenant's lane.
local function unpark(text, id, raw)
  later('ZREM', WAITING, text)
  if not raw then return end
  local h = parse(raw)
  if h.damaged then
    discard(id, h, CORRUPT)
    return say('d', 'd', h.attempt, id, CORRUPT)
  end
  h.held = ''
  later('ZADD', WAITING, 0, member(id, h))
  later('HSET', HEAD, id, format(h))
  if h.tenant ~= '' then joins['t:' .. h.tenant] = true end
end
-- Slots that a key was given while it was ordered, and whose jobs wait now that it is not.
local function drop_stale(subject, g)
  local from, to = bounds(subject)
  for _, text in ipairs(call('ZRANGE', SLOTS, from, to, 'BYLEX', 'LIMIT', 0, 100)) do
    local raw = call('HGET', HEAD, cut(text, #subject + 2))
    if not raw or byte(raw, 1) ~= 114 then
      later('ZREM', SLOTS, text)
      g.slots = g.slots + 1
    end
  end
end
-- The jobs of a lane that may start now: as many as there is room for, the one first that has the slot of an ordered key.
local function unpark_some(subject, g, most)
  if g.slots < 1 and g.rule.ordered ~= 1 and g.rule.concurrency then drop_stale(subject, g) end
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
