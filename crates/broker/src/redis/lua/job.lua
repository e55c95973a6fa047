-- Prelude: one job. A job is its spec (12 bytes: when it was enqueued, its first place; then JSON that no script reads)
-- and its head (below), which exists once the job differs from a fresh one: default priority, available, never claimed.
-- Fresh jobs stand in LINE. An entry of LINE whose job has a head, or no spec, is void and passed over.
-- `hold` says whether it has a unique key: 0 none, 1 until it ends, 2 for the key's own time.
local LAYOUT = '>c1BBBBBI6I6I6I6I6I6I4I4ss'
local SET = { s = SCHEDULED, y = RETRYABLE, r = LEASES, a = WAITING, c = COMPLETED, x = CANCELLED, d = DISCARDED }
local IDLE = { s = true, y = true, a = true }
local ENDED = { c = true, x = true, d = true }
-- Positions in lovage_core::DiscardReason::ALL, from 1.
local REJECTED, EXPIRED, WORKER_LOST, CORRUPT = 2, 3, 5, 6

local function parse(raw)
  local state, priority, lost, cancel, hold, reason, since, place, token, started, expires, ttl, attempt, failed,
    worker, unique, rest = unpack_bytes(LAYOUT, raw)
  -- What a newer release wrote behind is kept.
  return { state = state, priority = priority, lost = lost, cancel = cancel, hold = hold, reason = reason,
    since = since, place = place, token = token, started = started, expires = expires, ttl = ttl, attempt = attempt,
    failed = failed, worker = worker, unique = unique, tail = string.sub(raw, rest) }
end
local function format(h)
  return pack(LAYOUT, h.state, h.priority, h.lost, h.cancel, h.hold, h.reason, h.since, h.place, h.token,
    h.started, h.expires, h.ttl, h.attempt, h.failed, h.worker, h.unique) .. h.tail
end
local function fresh(since, place)
  return { state = 'a', priority = 5, lost = 0, cancel = 0, hold = 0, reason = 0, since = since, place = place,
    token = 0, started = 0, expires = 0, ttl = 0, attempt = 0, failed = 0, worker = '', unique = '', tail = '' }
end
-- The head of a job and its spec; nothing if there is no such job.
local function load(id)
  local spec, raw = call('HGET', SPEC, id), call('HGET', HEAD, id)
  if raw then return parse(raw), spec end
  if spec then return fresh(unpack_bytes('>I6I6', spec)), spec end
end

-- Takes a job out of the set of its state.
local function leave(id, h)
  later('ZREM', SET[h.state], id)
  if h.expires > 0 and IDLE[h.state] then later('ZREM', EXPIRING, id) end
end
-- Gives a unique key back, if this job still owns it.
local function release(id, h)
  if h.unique ~= '' and call('HGET', UNIQUE, h.unique) == id then
    call('HDEL', UNIQUE, h.unique)
    call('ZREM', UNTIL, h.unique)
  end
end
-- Puts a job that left its set into that of `state`. `score` is a time in ms; waiting and ended jobs get theirs here.
local function enter(id, h, state, score)
  h.state, h.since, h.cancel = state, now, 0
  if state ~= 'd' then h.reason = 0 end
  if state == 'a' then score = h.priority * LEVEL + h.place end
  if ENDED[state] then
    score = stamp()
    if h.hold == 1 then release(id, h) end
  end
  later('ZADD', SET[state], score, id)
  if h.expires > 0 and IDLE[state] then later('ZADD', EXPIRING, h.expires, id) end
  later('HSET', HEAD, id, format(h))
end
local function discard(id, h, reason)
  leave(id, h)
  h.reason = reason
  enter(id, h, 'd')
end
-- Keeps the error of an attempt: a line of attempt, time, worker and JSON. The oldest go beyond 32 KiB.
local function remember(id, h, json)
  local all = (call('HGET', ERRORS, id) or '') .. h.attempt .. ' ' .. now .. ' ' .. h.worker .. ' ' .. json .. '\n'
  while #all > 32768 do all = string.sub(all, string.find(all, '\n', 1, true) + 1) end
  later('HSET', ERRORS, id, all)
end
