-- What of a queue has limits, pauses or breakers.
--
-- KEYS     the queue's
-- ARGV     subjects as in limits.lua, from 3
-- returns  the time in ms, then per subject: limits as in limits.lua, or nothing; its pause ("since until JSON") or nothing; its breaker
--          ("failures until probe") or nothing; slots in use or -1; jobs that wait or -1
local answer = { now }
for i = 3, #ARGV do
  local subject = ARGV[i]
  local sort = cut(subject, 1, 1)
  local rule_text, pause = unpack(call('HMGET', RULES, subject, 'p' .. subject))
  local used, waits = -1, -1
  if subject == 'q' then
    used = call('ZCARD', LEASES)
    waits = available() + call('ZCARD', SCHEDULED) + call('ZCARD', RETRYABLE)
  elseif cut(subject, 3) ~= '*' and sort ~= 'k' then
    used = call('ZLEXCOUNT', SLOTS, bounds(subject))
    if sort == 't' then waits = tonumber(call('HGET', DEPTHS, cut(subject, 3)) or 0) end
  end
  for _, value in ipairs({ rule_text or '', pause or '', call('HGET', BREAKERS, subject) or '', used, waits }) do
    answer[#answer + 1] = value
  end
end
return answer
