-- Prelude: what time does to a queue, in bounded slices. Each answers how many jobs it touched.

-- Waiting jobs beyond their expires_at are discarded.
local function expire(slice)
  if peek(EXPIRING) > now then return 0 end
  local ids = call('ZRANGEBYSCORE', EXPIRING, '-inf', now, 'LIMIT', 0, slice)
  for i, raw in ipairs(heads(ids)) do
    local id, h = ids[i], raw and parse(raw)
    later('ZREM', EXPIRING, id)
    if h and IDLE[h.state] and not h.damaged then
      discard(id, h, EXPIRED)
      say('x', 'd', h.attempt, id, EXPIRED)
    end
  end
  flush()
  first = {}
  return #ids
end
-- Jobs whose leases ran out go back to their place, or end: cancelled if that was asked, discarded at the cap.
local function reap(slice, cap)
  if peek(LEASES) > now then return 0 end
  local ids = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, slice)
  for i, raw in ipairs(heads(ids)) do
    local id = ids[i]
    later('ZREM', LEASES, id)
    if raw then
      local h, reason = parse(raw), nil
      -- Whoever lost it can write nothing more.
      h.state, h.token, h.lost = 'r', 0, h.lost + 1
      remember(id, h, '{"class":"worker_lost","message":"the worker was lost: its lease ran out"}')
      local over = h.damaged or h.lost >= cap and h.cancel == 0
      if over then
        reason = h.damaged and CORRUPT or WORKER_LOST
        h.reason = reason
      end
      judge_attempt(id, nil)
      enter(id, h, h.cancel == 1 and 'x' or over and 'd' or 'a')
      say('l', h.state, h.attempt, id, reason, h.worker)
    end
  end
  flush()
  first = {}
  return #ids
end
