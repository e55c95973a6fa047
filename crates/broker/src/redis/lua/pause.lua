-- Pauses or resumes a queue.
--
-- KEYS     the queue's
-- ARGV     3: `pause` or `resume`; for a pause 4: who; 5: why; 6: until when, in ms, or nothing
-- returns  pause: since when, in ms; resume: 1 if the queue was paused, else 0
if ARGV[3] == 'pause' then
  call('HSET', META, 'pause_since', now, 'pause_until', ARGV[6], 'pause_by', ARGV[4], 'pause_why', ARGV[5])
  return now
end
local was = paused() and 1 or 0
call('HDEL', META, 'pause_since', 'pause_until', 'pause_by', 'pause_why')
if available() > 0 then wake() end
return was
