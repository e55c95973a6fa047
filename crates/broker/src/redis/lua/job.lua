-- Prelude: one job. A job is its spec (12 bytes: when it was enqueued, its first place; then JSON that starts with version
-- and kind) and its head (below), which exists once the job differs from a fresh one: default priority, available, never
-- claimed, no tenant, no key. Fresh jobs stand in LINE. An entry of LINE whose job has a head, or no spec, is void and
-- passed over. `hold` says whether it has a unique key: 0 none, 1 until it ends, 2 for the key's own time; 4 more if it
-- has a tenant or a key. `held` is the subject that holds it back.
local LAYOUT = '>c1BBBBBI6I6I6I6I6I6I4I4sssss'
local SET = { s = SCHEDULED, y = RETRYABLE, r = LEASES, a = WAITING, c = COMPLETED, x = CANCELLED, d = DISCARDED }
local IDLE = { s = true, y = true, a = true }
local ENDED = { c = true, x = true, d = true }
-- Positions in lovage_core::DiscardReason::ALL, from 1.
local EXHAUSTED, REJECTED, EXPIRED, TIMED_OUT, WORKER_LOST, CORRUPT = 1, 2, 3, 4, 5, 6

local function fresh(since, place)
  return { state = 'a', priority = 5, lost = 0, cancel = 0, hold = 0, reason = 0, since = since, place = place,
    token = 0, started = 0, expires = 0, ttl = 0, attempt = 0, failed = 0, worker = '', unique = '', tenant = '',
    key = '', held = '', tail = '' }
end
local function parse(raw)
  local whole, state, priority, lost, cancel, hold, reason, since, place, token, started, expires, ttl, attempt, failed,
    worker, unique, tenant, key, held, rest = pcall(unpack_bytes, LAYOUT, raw)
  if not whole or not SET[state] then
    -- Damaged: whoever meets it discards it, so that it hinders no other job.
    local h = fresh(now, 0)
    h.damaged = true
    return h
  end
  -- What a newer release wrote behind is kept.
  return { state = state, priority = priority, lost = lost, cancel = cancel, hold = hold % 4, reason = reason,
    since = since, place = place, token = token, started = started, expires = expires, ttl = ttl, attempt = attempt,
    failed = failed, worker = worker, unique = unique, tenant = tenant, key = key, held = held, tail = cut(raw, rest) }
end
local function format(h)
  local hold = h.hold
  if h.tenant ~= '' or h.key ~= '' then hold = hold + 4 end
  return pack(LAYOUT, h.state, h.priority, h.lost, h.cancel, hold, h.reason, h.since, h.place, h.token,
    h.started, h.expires, h.ttl, h.attempt, h.failed, h.worker, h.unique, h.tenant, h.key, h.held) .. h.tail
end
-- The head of a job and its spec; nothing if there is no such job.
local function load(id)
  local spec, raw = call('HGET', SPEC, id), call('HGET', HEAD, id)
  if raw then return parse(raw), spec end
  if not spec then return nil end
  if #spec < 12 then return fresh(now, 0), spec end
  return fresh(unpack_bytes('>I6I6', spec)), spec
end
-- The kind of a job: the first of its texts that is named so.
local function kind_of(spec) return string.match(spec, '"kind":"([^"]*)"', 13) or '' end

-- WAITING is one sorted set of equal scores, so it is ordered by its members: the lane, a zero, the priority's digit, the
-- place in six bytes, the id. A lane is nothing for jobs without a tenant, `t:`tenant, or the subject that holds its jobs
-- back.
local function lane_of(h)
  if h.held ~= '' then return h.held end
  return h.tenant ~= '' and 't:' .. h.tenant or ''
end
local function member(id, h) return lane_of(h) .. '\0' .. h.priority .. pack('>I6', h.place) .. id end
-- The bounds of a lane, and what a member of it says: its order, its id.
local function bounds(lane) return '[' .. lane .. '\0', '(' .. lane .. '\1' end
local function read_member(lane, text)
  local at = #lane + 2
  return (byte(text, at) - 48) * LEVEL + unpack_bytes('>I6', text, at + 1), cut(text, at + 7)
end
local function id_of(text) return cut(text, string.find(text, '\0', 1, true) + 8) end
