-- Does one action to a slice of the jobs of a state. Jobs that came into the state after the first call are passed
-- over, so that a purge ends although producers go on.
--
-- KEYS     the queue's
-- ARGV     3: action as in operate.lua; 4: the state's letter; 5: slice; 6: cursor, empty at first
-- returns  number of jobs done, cursor of the next call or nothing
local action, state, slice = ARGV[3], ARGV[4], tonumber(ARGV[5])
local bound, offset = string.match(ARGV[6], '^(%d+):(%d+)$')
bound, offset = tonumber(bound or now), tonumber(offset or 0)
local count, seen, over, acted = 0, 0, false, {}

local function try(id)
  local h = not acted[id] and load(id)
  if h and h.state == state and h.since <= bound and act(action, id, h) then
    count, acted[id] = count + 1, true
    return true
  end
end

-- Fresh jobs: entries of LINE leave it with their jobs, from the front.
if state == 'a' then
  local passed = 0
  for _, id in ipairs(call('LRANGE', LINE, 0, slice - 1)) do
    local spec, head = call('HGET', SPEC, id), call('HEXISTS', HEAD, id)
    if spec and head == 0 and not acted[id] and not try(id) then break end
    passed = passed + 1
  end
  if passed > 0 then call('LTRIM', LINE, passed, -1) end
  seen = passed
end
if seen < slice then
  local ids = call('ZRANGE', SET[state], offset, offset + slice - seen - 1)
  for _, id in ipairs(ids) do
    if state == 'a' then id = id_of(id) end
    if not try(id) then offset = offset + 1 end
  end
  over = #ids < slice - seen
end
done()
if action == 'retry' and count > 0 then wake() end
return { count, not over and exact('%.0f:%.0f', bound, offset) or false }
