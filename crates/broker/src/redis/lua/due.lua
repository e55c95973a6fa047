-- Prelude: what becomes due in a queue, and when.

-- The first score of a set, looked up once; forgotten when the set loses jobs.
local first = {}
local function peek(set)
  if not first[set] then first[set] = tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2] or math.huge) end
  return first[set]
end
-- Time in ms until the next job is due, the next lease runs out or the pause ends; 0 if there are jobs to claim, -1 if
-- nothing is ahead.
local function next_in(some_available, pause)
  if some_available and not pause then return 0 end
  local soonest = math.min(peek(SCHEDULED), peek(RETRYABLE), peek(LEASES), pause and pause >= 0 and now + pause or math.huge)
  return soonest < math.huge and math.max(soonest - now, 0) or -1
end
local function heads(ids)
  return #ids > 0 and call('HMGET', HEAD, unpack(ids)) or {}
end
-- Due jobs become available, in the order of their due times, behind those that wait already.
local function promote(slice)
  if math.min(peek(SCHEDULED), peek(RETRYABLE)) > now then return 0 end
  local due = {}
  for _, set in ipairs({ SCHEDULED, RETRYABLE }) do
    local found = call('ZRANGEBYSCORE', set, '-inf', now, 'WITHSCORES', 'LIMIT', 0, slice)
    for i = 1, #found, 2 do due[#due + 1] = { found[i], tonumber(found[i + 1]), set } end
  end
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
  first = {}
  return #ids
end
