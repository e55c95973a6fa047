-- Prelude of every script of a queue: the names of its keys, the time, collected writes, events, wake-ups.
--
-- KEYS   the keys of one queue in the order below, the same for every script; a script may add one of its own behind.
-- ARGV   1: the time in ms, empty for Redis' own clock (a test's clock otherwise); 2: events kept; from 3: the script's.
local SPEC, HEAD, LINE, WAITING, SCHEDULED, RETRYABLE, LEASES, COMPLETED, CANCELLED, DISCARDED, EXPIRING, RESULTS,
  ERRORS, PROGRESS, UNIQUE, UNTIL, META, EVENTS, WAKE = unpack(KEYS)
local call, exact = redis.call, string.format
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Ticks order everything that happens in a queue: milliseconds since 2024 times 512, and always above the last one.
-- They fit 49 bits until 2058, so that ten priorities times a tick is exact in a double.
local EPOCH, TICKS, LEVEL = 1704067200000, 512, 562949953421312
local tick
local function stamp()
  if not tick then
    tick = math.max(tonumber(call('HGET', META, 'tick') or 0), (now - EPOCH) * TICKS - 1)
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
local function flush()
  for _, command in ipairs(ORDER) do
    for key, args in pairs(writes[command]) do
      for from = 1, #args, 1000 do
        call(command, key, unpack(args, from, math.min(from + 999, #args)))
      end
    end
    writes[command] = {}
  end
end

-- One event per change: kind, state after it, attempt, reason if any, id, worker if it is not the caller. One stream
-- entry per script, numbered by its last event, so that the stream is trimmed by events and a reader sees gaps.
local said, lines = 0, {}
local function say(kind, state, attempt, id, reason, worker)
  said = said + 1
  local head = kind .. state .. attempt
  if reason then head = head .. '/' .. reason end
  lines[said] = worker and head .. ' ' .. id .. ' ' .. worker or head .. ' ' .. id
end

-- Lets one waiting worker look. It leaves another mark if it does not take everything.
local function wake()
  if call('EXISTS', WAKE) == 0 then call('LPUSH', WAKE, 1) end
end

-- Ends a script that wrote: everything collected, the ticks used, the events.
local function done(worker)
  flush()
  if tick then call('HSET', META, 'tick', tick) end
  if said == 0 then return end
  local last = call('HINCRBY', META, 'seq', said)
  local oldest = math.max(last - tonumber(ARGV[2]), 0)
  call('XADD', EVENTS, 'MINID', '~', exact('%.0f-0', oldest), exact('%.0f-0', last),
    'n', said, 't', now, 'w', worker or '', 'e', table.concat(lines, '\n'))
end
