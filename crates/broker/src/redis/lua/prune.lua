-- Prelude: retention, and what a queue is at this moment.

-- Removes the oldest ended jobs of a set: those that ended `age` ms ago or earlier, and those beyond `most`.
local function prune_set(set, age, most, slice)
  local horizon = (now - age - EPOCH) * TICKS + TICKS - 1
  local ids = call('ZRANGEBYSCORE', set, '-inf', horizon, 'LIMIT', 0, slice)
  local excess = math.min(call('ZCARD', set) - most, slice)
  if #ids < excess then ids = call('ZRANGE', set, 0, excess - 1) end
  for from = 1, #ids, 1000 do
    local upto = math.min(from + 999, #ids)
    call('ZREM', set, unpack(ids, from, upto))
    for _, hash in ipairs({ SPEC, HEAD, RESULTS, ERRORS, PROGRESS }) do
      call('HDEL', hash, unpack(ids, from, upto))
    end
  end
  return #ids
end
-- `limits` is { age and count of completed and cancelled jobs, age and count of discarded ones }. Answers the number
-- of jobs removed, and whether there may be more.
local function prune(limits, slice)
  local completed = prune_set(COMPLETED, limits[1], limits[2], slice)
  local cancelled = prune_set(CANCELLED, limits[1], limits[2], slice)
  local discarded = prune_set(DISCARDED, limits[3], limits[4], slice)
  local keys = call('ZRANGEBYSCORE', UNTIL, '-inf', now, 'LIMIT', 0, slice)
  if #keys > 0 then
    call('ZREM', UNTIL, unpack(keys))
    call('HDEL', UNIQUE, unpack(keys))
  end
  return completed + cancelled + discarded, math.max(completed, cancelled, discarded, #keys) >= slice
end

-- Jobs in line: those with a head, and the fresh ones, who are all that have none.
local function available()
  return call('ZCARD', WAITING) + math.max(call('HLEN', SPEC) - call('HLEN', HEAD), 0)
end
-- Time in ms until the queue's pause ends by itself, -1 if nobody said when; nothing if it is not paused.
local function paused()
  if not known(4) then return nil end
  local till = tonumber(known(5) or '')
  if not till then return -1 end
  if till > now then return till - now end
  meta[4] = false
  call('HDEL', META, 'pause_since', 'pause_until', 'pause_by', 'pause_why')
end
