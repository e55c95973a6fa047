-- A queue at one instant.
--
-- KEYS     the queue's
-- ARGV     none of its own
-- returns  jobs scheduled, available, running, retryable, completed, cancelled, discarded; ms that the oldest available
--          job has waited, or -1; 1 if anything of the queue has limits, pauses or breakers, else 0
local counts = { call('ZCARD', SCHEDULED), available(), call('ZCARD', LEASES), call('ZCARD', RETRYABLE),
  call('ZCARD', COMPLETED), call('ZCARD', CANCELLED), call('ZCARD', DISCARDED), -1, 0 }

local oldest
local function older(since) oldest = math.min(oldest or since, since) end
local function first_of(from, to)
  local text = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, 1)[1]
  local h = text and load(id_of(text))
  if h then older(h.since) end
end
-- The first job of each priority and the first fresh one; within a priority the first is the oldest. Of the tenants the
-- first jobs of those who have waited longest for their turn, and of those that are held back.
for priority = 0, 9 do first_of('[\0' .. priority, '(\0' .. priority + 1) end
local lanes = call('ZRANGE', RING, 0, 49)
for _, lane in ipairs(call('ZRANGE', PARKED, 0, 49)) do lanes[#lanes + 1] = lane end
for _, lane in ipairs(lanes) do first_of(bounds(lane)) end
local _, _, spec = lane(100)
if spec and #spec >= 12 then older((unpack_bytes('>I6', spec))) end
if oldest then counts[8] = math.max(now - oldest, 0) end
if call('EXISTS', RULES, BREAKERS) > 0 then counts[9] = 1 end
return counts
