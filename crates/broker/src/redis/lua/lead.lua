-- Takes, keeps or gives up a leadership.
--
-- KEYS     1: hash of name to "term until holder"
-- ARGV     1: time as in base.lua; 2: name; 3: holder; 4: time to live in ms, or nothing to give it up
-- returns  the term, or 0 while somebody else holds it
local call = redis.call
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local term, till, holder = string.match(call('HGET', KEYS[1], ARGV[2]) or '0 0 ', '^(%d+) (%d+) (.*)$')
term, till = tonumber(term), tonumber(till)
if ARGV[4] == '' then
  if holder == ARGV[3] then call('HSET', KEYS[1], ARGV[2], string.format('%.0f 0 ', term)) end
  return term
end
if holder ~= ARGV[3] then
  if till > now and holder ~= '' then return 0 end
  term = term + 1
end
call('HSET', KEYS[1], ARGV[2], string.format('%.0f %.0f %s', term, now + tonumber(ARGV[4]), ARGV[3]))
return term
