-- Prelude: what becomes due in a queue, and when.

-- The first score of a set, looked up once; forgotten when the set loses jobs.
local first = {}
local function peek(set)
  if not first[set] then first[set] = tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2] or math.huge) end
  return first[set]
end
-- Retryable jobs become available at a rate; the default is that of lovage_core::limits::RETRY_RATE. `damped` is when the
-- next may, if some are due and may not now.
local damped = 0
local function retries_allowed(slice)
  local r = rule('q')
  local rate, per, burst = r.retries or 1000, r.retries_per or 1000, r.retries_burst or 1000
  local allowed, full, at = tokens('r', per / rate, burst)
  if allowed < 1 then damped = at end
  return math.min(slice, math.max(allowed, 0)), full, per / rate
end
-- Time in ms until the next job is due, the next lease runs out, what is held back is to be looked at, or claims may go
-- on; 0 if there are jobs to claim, -1 if nothing is ahead. `blocked` is when claims from the whole queue may go on: until
-- then nothing of it is looked at, and when there are no jobs to claim it does not matter.
local function next_in(some_available, blocked)
  if some_available and not blocked then return 0 end
  local held_back = some_available and blocked or math.huge
  -- A subject whose last job was taken away is still noted.
  if not blocked and peek(PARKED) < math.huge and call('EXISTS', WAITING) == 1 then held_back = peek(PARKED) end
  local soonest = math.min(peek(SCHEDULED), math.max(peek(RETRYABLE), damped), peek(LEASES), held_back)
  return soonest < math.huge and math.max(soonest - now, 0) or -1
end
local function heads(ids)
  return #ids > 0 and call('HMGET', HEAD, unpack(ids)) or {}
end
-- Appends the ids of a set that are due, with their due times.
local function due_in(due, set, most)
  if most < 1 then return end
  local found = call('ZRANGEBYSCORE', set, '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #found, 2 do due[#due + 1] = { found[i], tonumber(found[i + 1]), set } end
end
-- Due jobs become available, in the order of their due times, behind those that wait already.
local function promote(slice)
  if math.min(peek(SCHEDULED), peek(RETRYABLE)) > now then return 0 end
  local due, ids, retried = {}, {}, 0
  due_in(due, SCHEDULED, slice)
  local most, full, interval = 0, nil, nil
  if peek(RETRYABLE) <= now then
    most, full, interval = retries_allowed(slice)
    due_in(due, RETRYABLE, most)
  end
  table.sort(due, function(a, b) if a[2] ~= b[2] then return a[2] < b[2] end return a[1] < b[1] end)
  for i = 1, math.min(#due, slice) do
    ids[i] = due[i][1]
    if due[i][3] == RETRYABLE then retried = retried + 1 end
  end
  for i, raw in ipairs(heads(ids)) do
    later('ZREM', due[i][3], ids[i])
    if raw then
      local h = parse(raw)
      h.place = stamp()
      enter(ids[i], h, 'a')
      say('p', 'a', h.attempt, ids[i])
    end
  end
  if interval then spend('r', full, interval, retried) end
  flush()
  first = {}
  return #ids
end
