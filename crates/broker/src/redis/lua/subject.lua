-- Pauses or resumes a queue, or its jobs of a kind or tenant; sets limits.
--
-- KEYS     the queue's
-- ARGV     3: `pause`, `resume` or `limit`; 4: subject as in limits.lua; 5: most subjects; for a pause 6: until when, in
--          ms, or nothing; 7: who and why (JSON); for limits 6: as in limits.lua, or nothing to remove them
-- returns  pause: since when, in ms; limit: 1; both: 0 if there are too many subjects; resume: 1 if it was paused or its
--          breaker was not closed, else 0
local action, subject = ARGV[3], ARGV[4]
local sort = cut(subject, 1, 1)
local function set(field, value)
  count_rules(sort, value and call('HSET', RULES, field, value) or not value and -call('HDEL', RULES, field) or 0)
end
-- Whoever is held back is looked at by the next claim. Of many, those at once that would have waited least.
local function look_again()
  if subject == 't:*' or subject == 'y:*' then
    for _, each in ipairs(call('ZRANGE', PARKED, 0, 999)) do freed[each] = 0 end
  else
    freed[subject] = 0
  end
end

local field = action == 'limit' and subject or 'p' .. subject
local value = action == 'limit' and ARGV[6] ~= '' and ARGV[6]
if action == 'pause' then value = exact('%.0f %s %s', now, ARGV[6], ARGV[7]) end
if value and call('HEXISTS', RULES, field) == 0 and call('HLEN', RULES) >= tonumber(ARGV[5]) then return 0 end
local _, till = breaker(subject)
local was = till > 0 or rule(subject).paused ~= nil
set(field, value)
if action == 'resume' or action == 'limit' and (not value or string.find(value, ' %- %-$')) then
  call('HDEL', BREAKERS, subject)
end
-- Nobody waits for tokens of the old rate.
rules[subject] = nil
local r = rule(subject)
if r.rate then tokens(subject, r.per / r.rate, r.burst) end
if action ~= 'pause' then
  look_again()
  wake()
end
done()
return action == 'pause' and now or action == 'limit' and 1 or was and 1 or 0
