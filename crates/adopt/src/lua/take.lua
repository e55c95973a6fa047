-- Takes a batch of tasks out of an apalis queue for the one adopter that owns it, and says what they carry. What an
-- adopter took and did not settle before it died comes first.
-- KEYS: 1 owner, 2 taken, 3 active list, 4 scheduled set, 5 data hash.
-- ARGV: 1 the adopter, 2 how long it owns the queue from now in ms, 3 how many tasks to take, at most 1,000.
-- Returns false if another adopter owns the queue; else a list of ids and when each is due in seconds since 1970
-- (0: now), taking turns, and a list of what they carry in the same order (false: nothing is there).
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return false end
-- The first write: Redis refuses it when it is out of memory, before anything has moved.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local most = tonumber(ARGV[3])
local tasks = redis.call('ZRANGE', KEYS[2], 0, most - 1, 'WITHSCORES')
if #tasks == 0 then
  local active = redis.call('LRANGE', KEYS[3], 0, most - 1)
  for _, id in ipairs(active) do
    tasks[#tasks + 1] = id
    tasks[#tasks + 1] = '0'
  end
  if #active < most then
    for _, word in ipairs(redis.call('ZRANGE', KEYS[4], 0, most - #active - 1, 'WITHSCORES')) do
      tasks[#tasks + 1] = word
    end
  end
  local moved, scheduled = {}, {}
  for i = 1, #tasks, 2 do
    moved[#moved + 1] = tasks[i + 1]
    moved[#moved + 1] = tasks[i]
    if i > 2 * #active then scheduled[#scheduled + 1] = tasks[i] end
  end
  if #moved > 0 then redis.call('ZADD', KEYS[2], unpack(moved)) end
  if #active > 0 then redis.call('LTRIM', KEYS[3], #active, -1) end
  if #scheduled > 0 then redis.call('ZREM', KEYS[4], unpack(scheduled)) end
end
if #tasks == 0 then return {{}, {}} end
local ids = {}
for i = 1, #tasks, 2 do ids[#ids + 1] = tasks[i] end
return {tasks, redis.call('HMGET', KEYS[5], unpack(ids))}
