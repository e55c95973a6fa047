-- Prelude of every script of a queue: the names of its keys, the time, what it counts, collected writes.
--
-- KEYS   the keys of one queue in the order below, the same for every script; a script may add one of its own behind.
-- ARGV   1: the time in ms, empty for Redis' own clock (a test's clock otherwise); 2: events kept, a
--        blank, and so many more for a recorder; from 3: the script's.
local SPEC, HEAD, LINE, WAITING, SCHEDULED, RETRYABLE, LEASES, COMPLETED, CANCELLED, DISCARDED, EXPIRING, RESULTS,
  ERRORS, PROGRESS, UNIQUE, UNTIL, META, EVENTS, WAKE, RING, PARKED, SLOTS, BUCKETS, RULES, BREAKERS, DEPTHS = unpack(KEYS)
local call, exact, pack, unpack_bytes = redis.call, string.format, struct.pack, struct.unpack
local byte, cut = string.byte, string.sub
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What a queue counts: tick, number of the latest event, jobs claimed so far, rules per sort of subject, virtual time of
-- the tenants' turns, how fast jobs are claimed, what is recorded elsewhere. Read at most once; done() writes back what
-- changed.
local meta
local changed = {}
local function known(position)
  if not meta then
    meta = call('HMGET', META, 'tick', 'seq', 'claimed', 'rules', 'turn', 'pace', 'recorded')
  end
  return meta[position]
end
-- Whether nothing of the queue has limits or is paused: the usual case, for which scripts have a short way that comes
-- before everything else is even defined. Defining all helpers of a script takes longer than a small batch.
local function unruled() return (known(4) or '0 0 0 0') == '0 0 0 0' end
local function change(field, value)
  changed[#changed + 1], changed[#changed + 2] = field, value
end

-- Ticks order everything that happens in a queue: milliseconds since 2024 times 256, and always above the last one.
-- They fit 48 bits until 2058, so that a spec has room for them and ten priorities times a tick is exact in a double.
local EPOCH, TICKS, LEVEL = 1704067200000, 256, 562949953421312
local tick
local function stamp()
  if not tick then
    tick = math.max(tonumber(known(1) or 0), (now - EPOCH) * TICKS - 1)
  end
  tick = tick + 1
  return tick
end

-- Writes are collected per command and key, and sent with many arguments each. Removals go first: they are allowed
-- when Redis is out of memory, and a script that has begun to write is not stopped any more.
local ORDER = { 'ZREM', 'HDEL', 'ZADD', 'HSET', 'RPUSH' }
local writes = { ZREM = {}, HDEL = {}, ZADD = {}, HSET = {}, RPUSH = {} }
local function later(command, key, a, b)
  local args = writes[command][key]
  if not args then
    args = {}
    writes[command][key] = args
  end
  args[#args + 1] = a
  if b then args[#args + 1] = b end
end
local function send(command, key, args)
  for from = 1, #args, 1000 do
    call(command, key, unpack(args, from, math.min(from + 999, #args)))
  end
end
-- What else is to be written at the end of a script: functions that preludes leave here.
local endings = {}
local function flush()
  for _, command in ipairs(ORDER) do
    for key, args in pairs(writes[command]) do send(command, key, args) end
    writes[command] = {}
  end
end
