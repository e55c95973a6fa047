-- Ends attempts, each by its own token.
--
-- KEYS     the queue's
-- ARGV     3: worker; then per attempt: id; token; what follows, one of `c` complete, `y` retry, `s` snooze, `a` back
--          to its place, `d` discard, `x` cancel; its number (ms to wait, or the reason of a discard); its JSON (the
--          result of a completed job, else an error or nothing)
-- returns  a letter per attempt: `h` done, `l` lost, nothing was written for it
local worker, ids, tokens, status, waiting, soonest = ARGV[3], {}, {}, {}, false, nil
for i = 4, #ARGV, 5 do
  ids[#ids + 1], tokens[#tokens + 1] = ARGV[i], ARGV[i + 1]
end
local mine, ended = held(ids, tokens), {}
for i, id in ipairs(ids) do
  local h = not ended[id] and mine[i]
  status[i] = h and 'h' or 'l'
  if h then
    ended[id] = true
    local at = 5 * i + 1
    local state, number, json = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
    local due, reason = nil, nil
    if state == 'y' or state == 'd' then h.failed = h.failed + 1 end
    later('ZREM', LEASES, id)
    if json ~= '' then
      if state == 'c' then later('HSET', RESULTS, id, json) else remember(id, h, json) end
    end
    -- Somebody asked it to stop: it does not run again, whatever its handler made of it.
    if h.cancel == 1 and (state == 'y' or state == 's' or state == 'a') then state = 'x' end
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
end
done(worker)
if soonest then
  local a = tonumber(call('ZRANGE', SCHEDULED, 0, 0, 'WITHSCORES')[2] or math.huge)
  local b = tonumber(call('ZRANGE', RETRYABLE, 0, 0, 'WITHSCORES')[2] or math.huge)
  waiting = waiting or soonest <= math.min(a, b)
end
if waiting then wake() end
return table.concat(status)
