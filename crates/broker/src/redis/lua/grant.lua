-- Prelude of claim.lua: what becomes of a job that is taken out of the line.

local worker, deadline = ARGV[3], exact('%.0f', now + tonumber(ARGV[5]))
local new_heads, new_leases = {}, {}
local token, granted, answer = tonumber(known(3) or 0), 0, { 0 }
local function grant(id, spec, head, attempt)
  local at = 3 * granted + 2
  answer[at], answer[at + 1], answer[at + 2] = id, spec, head
  at = 2 * granted + 1
  new_heads[at], new_heads[at + 1] = id, head
  new_leases[at], new_leases[at + 1] = deadline, id
  granted = granted + 1
  say('c', 'r', attempt, id)
end

-- A job of WAITING: leased, or discarded if it is too late for it or its spec is gone.
local function take(id, spec, raw)
  later('ZREM', WAITING, id)
  if not raw then return end
  local h = parse(raw)
  if not spec then
    spec = pack('>I6I6', h.since, h.place)
    later('HSET', SPEC, id, spec)
    discard(id, h, CORRUPT)
    return say('d', 'd', h.attempt, id, CORRUPT)
  elseif h.expires > 0 and h.expires <= now then
    discard(id, h, EXPIRED)
    return say('x', 'd', h.attempt, id, EXPIRED)
  end
  if h.expires > 0 then later('ZREM', EXPIRING, id) end
  h.state, h.since, h.started, h.worker, h.cancel = 'r', now, now, worker, 0
  h.token, h.attempt = token + granted + 1, h.attempt + 1
  grant(id, spec, format(h), h.attempt)
end
