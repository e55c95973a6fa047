-- Pauses or resumes a queue, or its jobs of a kind or tenant; sets limits.
--
-- KEYS     the queue's
-- ARGV     3: `pause`, `resume` or `limit`; 4: subject as in limits.lua; for a pause of the queue 5: who; 6: why; 7: until
--          when, in ms, or nothing; for another pause 5: who and why (JSON), 6: unused, 7: as before; for limits 5: as in
--          limits.lua, or nothing to remove them; 6: most subjects
-- returns  pause: since when, in ms; resume: 1 if it was paused or its breaker had seen enough failures, else 0; limit:
--          1, or 0 if there are too many subjects
local action, subject = ARGV[3], ARGV[4]
local sort = cut(subject, 1, 1)
local function set(field, value)
  count_rules(sort, value and call('HSET', RULES, field, value) or not value and -call('HDEL', RULES, field) or 0)
end
-- Whoever is held back is looked at by the next claim. Of many, those at once that would have waited least.
local function look_again()
  if subject == 't:*' or subject == 'y:*' then
    for _, each in ipairs(call('ZRANGE', PARKED, 0, 999)) do freed[each] = true end
  else
    freed[subject] = true
  end
end

if action == 'limit' then
  if ARGV[5] ~= '' and call('HEXISTS', RULES, subject) == 0 and call('HLEN', RULES) >= tonumber(ARGV[6]) then return 0 end
  set(subject, ARGV[5] ~= '' and ARGV[5])
  look_again()
  done()
  wake()
  return 1
elseif action == 'pause' then
  if subject == 'q' then
    call('HSET', META, 'pause_since', now, 'pause_until', ARGV[7], 'pause_by', ARGV[5], 'pause_why', ARGV[6])
  else
    set('p' .. subject, exact('%.0f %s %s', now, ARGV[7], ARGV[5]))
    done()
  end
  return now
end
local _, till = breaker(subject)
local was = till > 0
call('HDEL', BREAKERS, subject)
if subject == 'q' then
  was = was or paused() ~= nil
  call('HDEL', META, 'pause_since', 'pause_until', 'pause_by', 'pause_why')
else
  was = was or rule(subject).paused ~= nil
  set('p' .. subject, nil)
end
look_again()
done()
if available() > 0 then wake() end
return was and 1 or 0
