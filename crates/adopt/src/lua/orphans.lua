-- Takes over a batch of the tasks that an apalis worker held when it died.
-- KEYS: 1 owner, 2 taken, 3 workers set, 4 the set of tasks that the worker holds.
-- ARGV: 1 the adopter, 2 the worker's name, 3 how long a worker is silent that counts as dead in s, 4 how many tasks to
-- take, at most 1,000.
-- Returns how many were taken.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local seen = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[2]))
local now = tonumber(redis.call('TIME')[1])
if not seen or now - seen < tonumber(ARGV[3]) then return 0 end
local ids = redis.call('SRANDMEMBER', KEYS[4], ARGV[4])
local moved = {}
for _, id in ipairs(ids) do
  moved[#moved + 1] = 0
  moved[#moved + 1] = id
end
if #ids > 0 then
  redis.call('ZADD', KEYS[2], unpack(moved))
  redis.call('SREM', KEYS[4], unpack(ids))
end
-- As apalis does when it has taken everything from a dead worker.
if #ids < tonumber(ARGV[4]) then redis.call('ZREM', KEYS[3], ARGV[2]) end
return #ids
