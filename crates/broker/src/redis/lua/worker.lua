-- The registry of workers, and their messages.
--
-- KEYS     1: hash of worker to what it said of itself; 2: zset of worker to when it was heard of; 3: its messages
-- ARGV     1: time as in base.lua; 2: `heartbeat`, `unregister`, `list` or `send`; 3: worker; 4: what it says (JSON), the
--          message, or for a list the ms since it was heard of; 5: life of a message in ms; 6: 1 to send to anybody
-- returns  heartbeat, unregister: 1; send: 1 if the worker is registered, else 0; list: what it said, when (ms), per worker
local call = redis.call
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local action, worker = ARGV[2], ARGV[3]
if action == 'heartbeat' then
  call('HSET', KEYS[1], worker, ARGV[4])
  call('ZADD', KEYS[2], now, worker)
  -- A bounded slice of those not heard of for a day.
  local gone = call('ZRANGEBYSCORE', KEYS[2], '-inf', now - 86400000, 'LIMIT', 0, 100)
  if #gone > 0 then
    call('HDEL', KEYS[1], unpack(gone))
    call('ZREM', KEYS[2], unpack(gone))
  end
  return 1
elseif action == 'unregister' then
  call('HDEL', KEYS[1], worker)
  call('ZREM', KEYS[2], worker)
  call('UNLINK', KEYS[3])
  return 1
elseif action == 'list' then
  local answer = {}
  local seen = call('ZRANGEBYSCORE', KEYS[2], now - tonumber(ARGV[4]), '+inf', 'WITHSCORES', 'LIMIT', 0, 10000)
  for i = 1, #seen, 2 do
    local said = call('HGET', KEYS[1], seen[i])
    if said then
      answer[#answer + 1] = said
      answer[#answer + 1] = seen[i + 1]
    end
  end
  return answer
end
local known = call('ZSCORE', KEYS[2], worker) and 1 or 0
if known == 1 or ARGV[6] == '1' then
  call('RPUSH', KEYS[3], ARGV[4])
  call('LTRIM', KEYS[3], -1000, -1)
  call('PEXPIRE', KEYS[3], ARGV[5])
end
return known
