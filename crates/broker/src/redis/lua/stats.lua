-- A queue at one instant.
--
-- KEYS     the queue's
-- ARGV     none of its own
-- returns  jobs scheduled, available, running, retryable, completed, cancelled, discarded; ms that the oldest available
--          job has waited, or -1; then, if the queue is paused: who, why, since (ms), until (ms or nothing)
local counts = { call('ZCARD', SCHEDULED), available(), call('ZCARD', LEASES), call('ZCARD', RETRYABLE),
  call('ZCARD', COMPLETED), call('ZCARD', CANCELLED), call('ZCARD', DISCARDED), -1 }

-- The first job of each priority and the first fresh one; within a priority the first is the oldest.
local oldest
for priority = 0, 9 do
  local first = call('ZRANGE', WAITING, exact('%.0f', priority * LEVEL), exact('(%.0f', (priority + 1) * LEVEL), 'BYSCORE',
    'LIMIT', 0, 1)[1]
  local h = first and load(first)
  if h then oldest = math.min(oldest or h.since, h.since) end
end
local _, _, spec = lane(100)
if spec then
  local since = unpack_bytes('>I6', spec)
  oldest = math.min(oldest or since, since)
end
if oldest then counts[8] = math.max(now - oldest, 0) end

local pause = call('HMGET', META, 'pause_by', 'pause_why', 'pause_since', 'pause_until')
local till = tonumber(pause[4] or '')
if pause[3] and (not till or till > now) then
  for i = 1, 4 do counts[8 + i] = pause[i] end
end
return counts
