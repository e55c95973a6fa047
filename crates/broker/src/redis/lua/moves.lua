-- Prelude: jobs come into states and leave them.

-- Tenants whose lanes got jobs, or lost some other than by a claim, and how the number of their waiting jobs changed. RING has the tenants with jobs that may
-- be claimed, by the virtual time of their turn.
local joins, parts, depths = {}, {}, {}
local function deeper(h, by)
  if h.tenant ~= '' then depths[h.tenant] = (depths[h.tenant] or 0) + by end
end
local function join_ring()
  local turn, args = known(5) or 0, {}
  for lane in pairs(joins) do
    -- A tenant that is held back stays out of the ring.
    if not ruled('t') or not call('ZSCORE', PARKED, lane) then args[#args + 1], args[#args + 2] = turn, lane end
  end
  joins = {}
  for from = 1, #args, 1000 do call('ZADD', RING, 'NX', unpack(args, from, math.min(from + 999, #args))) end
end
endings[#endings + 1] = function()
  join_ring()
  for lane in pairs(parts) do
    if call('ZLEXCOUNT', WAITING, bounds(lane)) == 0 then call('ZREM', RING, lane) end
  end
  for tenant, by in pairs(depths) do
    if by ~= 0 and call('HINCRBY', DEPTHS, tenant, by) <= 0 then call('HDEL', DEPTHS, tenant, '\0' .. tenant) end
  end
end

-- Takes a job out of the set of its state.
local function leave(id, h)
  later('ZREM', SET[h.state], h.state == 'a' and member(id, h) or id)
  if h.state == 'a' and h.tenant ~= '' and h.held == '' then parts['t:' .. h.tenant] = true end
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
  local was, flows = h.state, h.tenant ~= '' or h.key ~= ''
  h.state, h.since, h.cancel, h.held = state, now, 0, ''
  if state ~= 'd' then h.reason = 0 end
  if flows then
    deeper(h, (IDLE[state] and 1 or 0) - (IDLE[was] and 1 or 0))
    if was == 'r' or ENDED[state] or state == 'a' and h.attempt > 0 then free(id, h, was, ENDED[state]) end
    if state == 'a' and h.tenant ~= '' then joins['t:' .. h.tenant] = true end
  end
  if ENDED[state] then
    score = stamp()
    if h.hold == 1 then release(id, h) end
  end
  if state == 'a' then later('ZADD', WAITING, 0, member(id, h)) else later('ZADD', SET[state], score, id) end
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
  while #all > 32768 do all = cut(all, string.find(all, '\n', 1, true) + 1) end
  later('HSET', ERRORS, id, all)
end
