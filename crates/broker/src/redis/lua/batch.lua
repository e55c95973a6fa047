-- Prelude of enqueue.lua: what is there, and the short way of the usual batch.

local count = (#ARGV - 2) / 3
-- The first write, and one that an exhausted Redis refuses: nothing is half-written then.
local place = stamp()
tick = tick + count
call('HSET', META, 'tick', tick)

local ids = {}
for i = 1, count do ids[i] = ARGV[3 * i] end
local known_specs, mine, answer, refused = call('HMGET', SPEC, unpack(ids)), {}, {}, false

-- Takes in a batch of new plain jobs; answers nothing if it is not one. What join() does, with half of the work a job.
local function take_batch()
  if not unruled() then return end
  local seen, specs, since = {}, {}, pack('>I6', now)
  for i, id in ipairs(ids) do
    if known_specs[i] or seen[id] or ARGV[3 * i + 2] ~= '' then return end
    seen[id] = true
    specs[2 * i - 1], specs[2 * i] = id, since .. pack('>I6', place + i) .. ARGV[3 * i + 1]
  end
  send('HSET', SPEC, specs)
  send('RPUSH', LINE, ids)
  say_alike('e', 'a', 0, ids)
  return true
end
if take_batch() then
  done()
  wake()
  return 1
end
