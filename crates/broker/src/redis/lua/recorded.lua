-- Notes up to where the events are recorded elsewhere.
--
-- KEYS     the queue's
-- ARGV     3: number of the last event that is; 4: its time in ms
-- returns  nothing
local latest = tonumber(known(2) or 0)
-- Nobody has used the queue, or it was emptied.
if latest == 0 then return end
local number, at = tonumber(ARGV[3]), ARGV[4]
-- Of what happened here nothing is recorded that anybody has told of.
if is_of_another_past(number, at, latest) then number, at = 0, '0' end
local before, before_at = string.match(known(7) or '', '^(%d+) (%d+) ')
before = tonumber(before)
if before and before > number and not is_of_another_past(before, before_at, latest) then number, at = before, before_at end
-- A removal first: a full Redis allows it, and what is recorded makes room there.
call('HDEL', META, 'recorded')
call('HSET', META, 'recorded', exact('%.0f %s %.0f', number, at, now))
