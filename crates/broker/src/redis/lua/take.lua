-- Prelude of claim.lua: what becomes of a waiting job whose turn it is.

local function park(id, h, subject)
  h.held = subject
  later('ZADD', WAITING, 0, member(id, h))
  later('HSET', HEAD, id, format(h))
  -- One that only lets older ones go first is looked at by the next claim.
  parked[subject] = room(gate(subject)) > 0 and now or again(gate(subject), 0)
end

local function discard_damaged(id, h, spec)
  if not spec or #spec < 12 then later('HSET', SPEC, id, pack('>I6I6', h.since, h.place)) end
  discard(id, h, CORRUPT)
  say('d', 'd', h.attempt, id, CORRUPT)
end
-- A fresh job: leased, held back, or discarded if it cannot be read.
local function take_fresh(score, id, spec)
  looked = looked + 1
  local subject = ruled('k') and refused_by(id, spec, '')
  if #spec < 12 then
    discard_damaged(id, fresh(now, 0))
  elseif subject then
    park(id, fresh(unpack_bytes('>I6I6', spec)), subject)
  else
    if ruled('q') or ruled('k') then admit(id, spec, '', '') end
    grant(id, spec, pack(LAYOUT, 'r', 5, 0, 0, 0, 0, now, score - 5 * LEVEL, stamp(), now, 0, 0, 1, 0, worker,
      '', '', '', ''), 1)
  end
  pass(id)
end
-- A job of WAITING: leased, held back, or discarded if it is too late for it or it cannot be read.
local function take(text, id, spec, raw)
  looked = looked + 1
  later('ZREM', WAITING, text)
  if not raw then return end
  local h = parse(raw)
  if h.damaged or not spec or #spec < 12 then
    return discard_damaged(id, h, spec)
  elseif h.expires > 0 and h.expires <= now then
    discard(id, h, EXPIRED)
    return say('x', 'd', h.attempt, id, EXPIRED)
  end
  local subject = refused_by(id, spec, h.key, h.priority * LEVEL + h.place)
  if subject then return park(id, h, subject) end
  admit(id, spec, h.tenant, h.key)
  deeper(h, -1)
  if h.expires > 0 then later('ZREM', EXPIRING, id) end
  h.state, h.since, h.started, h.worker, h.cancel, h.held = 'r', now, now, worker, 0, ''
  h.token, h.attempt = stamp(), h.attempt + 1
  grant(id, spec, format(h), h.attempt)
end
