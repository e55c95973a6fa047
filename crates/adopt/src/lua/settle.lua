-- Tells apalis what became of taken tasks, in its own words: an adopted one is Done, with its payload removed; one that
-- cannot be adopted is Killed and dead, with its payload kept.
-- KEYS: 1 owner, 2 taken, 3 data hash, 4 dead set, then what is known about each task (hash).
-- ARGV: 1 the adopter, 2 how long to keep what is known about adopted tasks in s, then three for each task: id, status
-- (Done or Killed), result as JSON.
-- Returns 1; 0 if the adopter no longer owns the queue: then nothing was written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local now = redis.call('TIME')[1]
local done, dead, all = {}, {}, {}
for i = 5, #KEYS do
  local at = 3 * (i - 5) + 3
  local lot = ARGV[at + 1] == 'Done' and done or dead
  lot[#lot + 1] = ARGV[at]
  all[#all + 1] = ARGV[at]
end
-- Removals first: they are allowed when Redis is out of memory, and a script that has begun is not stopped.
redis.call('ZREM', KEYS[2], unpack(all))
if #done > 0 then redis.call('HDEL', KEYS[3], unpack(done)) end
if #dead > 0 then redis.call('SADD', KEYS[4], unpack(dead)) end
for i = 5, #KEYS do
  local at = 3 * (i - 5) + 3
  redis.call('HSET', KEYS[i], 'status', ARGV[at + 1], 'result', ARGV[at + 2], 'done_at', now)
  if ARGV[at + 1] == 'Done' then redis.call('EXPIRE', KEYS[i], ARGV[2]) end
end
return 1
