-- Prelude of finish.lua: the ends of attempts.

local waiting, soonest, ended = false, nil, {}
-- Ends an attempt whose lease is held.
local function settle(id, h, state, number, json)
  local due, reason = nil, nil
  ended[id] = true
  if state == 'y' or state == 'd' then h.failed = h.failed + 1 end
  -- At once, before a breaker is written: a script that begins with a removal may go on without memory.
  call('ZREM', LEASES, id)
  if json ~= '' then
    if state == 'c' then later('HSET', RESULTS, id, json) else remember(id, h, json) end
  end
  -- Somebody asked it to stop: it does not run again, whatever its handler made of it.
  if h.cancel == 1 and (state == 'y' or state == 's' or state == 'a') then state = 'x' end
  local failed = state == 'y' or state == 'd' and (number == EXHAUSTED or number == TIMED_OUT)
  if failed then judge_attempt(id, false) else judge_attempt(id, state == 'c' or nil) end
  if state == 'y' or state == 's' then
    due = now + number
    soonest = math.min(soonest or due, due)
  elseif state == 'd' then
    reason, h.reason = number, number
  end
  enter(id, h, state, due)
  waiting = waiting or state == 'a'
  say('f', state, h.attempt, id, reason)
end
