-- Prelude: retention, and what a queue is at this moment.

-- Removes the oldest ended jobs of a set: those that ended `age` ms ago or earlier, and those beyond `most`, unless they
-- are held for a recorder.
local function prune_set(set, age, most, slice)
  local horizon, size = (now - age - EPOCH) * TICKS + TICKS - 1, call('ZCARD', set)
  local count = math.min(math.max(call('ZCOUNT', set, '-inf', horizon), size - most), slice)
  if count < 1 then return 0 end
  count = math.min(count, jobs_may_go(set, size, most, tonumber(known(2) or 0) + said))
  if count < 1 then return 0 end
  -- All of these are the first of the set.
  local ids = call('ZRANGE', set, 0, count - 1)
  call('ZREMRANGEBYRANK', set, 0, count - 1)
  for _, hash in ipairs({ SPEC, HEAD, RESULTS, ERRORS, PROGRESS }) do
    if call('EXISTS', hash) == 1 then send('HDEL', hash, ids) end
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
  -- Buckets that are full are as good as none.
  local full = call('ZRANGEBYSCORE', BUCKETS, '-inf', now, 'LIMIT', 0, slice)
  if #full > 0 then call('ZREM', BUCKETS, unpack(full)) end
  return completed + cancelled + discarded, math.max(completed, cancelled, discarded, #keys) >= slice
end

-- Fresh jobs are all that have no head.
local function fresh_ones() return math.max(call('HLEN', SPEC) - call('HLEN', HEAD), 0) end
-- Jobs in line, also those that are held back.
local function available() return call('ZCARD', WAITING) + fresh_ones() end
-- Whether there are jobs in line that nothing but a limit of the whole queue holds back, as far as is known.
local function claimable()
  -- Those without a tenant are looked at themselves, whether they have a turn in the ring or not.
  local tenants = call('ZCARD', RING)
  if tenants > 1 or fresh_ones() > 0 or tenants == 1 and not call('ZSCORE', RING, 't:') then return true end
  return call('ZLEXCOUNT', WAITING, '[\0', '(\1') > 0
end
