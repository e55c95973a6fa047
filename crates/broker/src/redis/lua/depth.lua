-- Prelude of enqueue.lua: how many jobs may wait.

-- Room that is left per subject with a depth limit.
local left = {}
local function room_for(subject)
  local l = left[subject]
  if l then return l end
  l = { depth = rule(subject).depth, room = math.huge }
  left[subject] = l
  if l.depth then
    local depth = subject ~= 'q' and tonumber(call('HGET', DEPTHS, cut(subject, 3)) or 0)
      or call('ZCARD', WAITING) + math.max(call('HLEN', SPEC) - call('HLEN', HEAD), 0) + call('ZCARD', SCHEDULED)
        + call('ZCARD', RETRYABLE)
    l.room = l.depth - depth
  end
  return l
end
-- Time in ms until there may be room for one more, from how fast jobs were claimed lately; -1 if nobody knows.
local function wait_for(subject)
  local since, _, rate = string.match(known(6) or '', '^(%d+) (%d+) (%S+)$')
  rate = tonumber(rate or 0)
  if rate <= 0 or now - tonumber(since) > 60000 then return -1 end
  if subject ~= 'q' then rate = rate / math.max(call('ZCARD', RING), 1) end
  return math.ceil((1 - left[subject].room) / rate * 1000)
end
-- Takes room for a job of a tenant (`` for none). If there is none: whose depth it is, its limit and the time to wait.
local function refused_depth(tenant)
  if not ruled('q') and not ruled('t') then return nil end
  local mine, all = tenant ~= '' and 't:' .. tenant or nil, 'q'
  for _, subject in ipairs({ all, mine }) do
    local l = room_for(subject)
    if l.room < 1 then
      local answer = exact('f%s %.0f %.0f', subject, l.depth, wait_for(subject))
      -- Who is refused, too, comes before those who are refused after.
      l.room = l.room - 1
      return answer
    end
  end
  left[all].room = left[all].room - 1
  if mine then left[mine].room = left[mine].room - 1 end
end
