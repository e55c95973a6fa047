-- Prelude: what time does to a queue, in bounded slices. Each answers how many jobs it touched.

local function heads(ids)
  return #ids > 0 and call('HMGET', HEAD, unpack(ids)) or {}
end
-- Waiting jobs beyond their expires_at are discarded.
local function expire(slice)
  local ids = call('ZRANGEBYSCORE', EXPIRING, '-inf', now, 'LIMIT', 0, slice)
  for i, raw in ipairs(heads(ids)) do
    local id, h = ids[i], raw and parse(raw)
    later('ZREM', EXPIRING, id)
    if h and IDLE[h.state] then
      discard(id, h, EXPIRED)
      say('x', 'd', h.attempt, id, EXPIRED)
    end
  end
  if #ids > 0 then flush() end
  return #ids
end
-- Jobs whose leases ran out go back to their place, or end: cancelled if that was asked, discarded at the cap.
local function reap(slice, cap)
  local ids = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, slice)
  for i, raw in ipairs(heads(ids)) do
    local id = ids[i]
    later('ZREM', LEASES, id)
    if raw then
      local h, reason = parse(raw), nil
      h.lost = h.lost + 1
      remember(id, h, '{"class":"worker_lost","message":"the worker was lost: its lease ran out"}')
      local over = h.lost >= cap and h.cancel == 0
      if over then reason, h.reason = WORKER_LOST, WORKER_LOST end
      enter(id, h, h.cancel == 1 and 'x' or over and 'd' or 'a')
      say('l', h.state, h.attempt, id, reason, h.worker)
    end
  end
  if #ids > 0 then flush() end
  return #ids
end
-- Due jobs become available, in the order of their due times, behind those that wait already.
local function promote(slice)
  local due = {}
  for _, set in ipairs({ SCHEDULED, RETRYABLE }) do
    local found = call('ZRANGEBYSCORE', set, '-inf', now, 'WITHSCORES', 'LIMIT', 0, slice)
    for i = 1, #found, 2 do due[#due + 1] = { found[i], tonumber(found[i + 1]), set } end
  end
  if #due == 0 then return 0 end
  table.sort(due, function(a, b) if a[2] ~= b[2] then return a[2] < b[2] end return a[1] < b[1] end)
  local ids = {}
  for i = 1, math.min(#due, slice) do ids[i] = due[i][1] end
  for i, raw in ipairs(heads(ids)) do
    later('ZREM', due[i][3], ids[i])
    if raw then
      local h = parse(raw)
      h.place = stamp()
      enter(ids[i], h, 'a')
      say('p', 'a', h.attempt, ids[i])
    end
  end
  flush()
  return #ids
end
