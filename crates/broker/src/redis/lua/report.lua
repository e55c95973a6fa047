-- Keeps progress and log lines of a running attempt.
--
-- KEYS     the queue's; 27: the job's log
-- ARGV     3: id; 4: token; 5: progress (JSON) or nothing; 6: log lines kept; 7: life of the log in ms; then per line:
--          level, text
-- returns  `h` kept, `c` kept and the job is asked to stop, `l` the lease is lost, nothing was kept
local id, log = ARGV[3], KEYS[27]
local h = held({ id }, { ARGV[4] })[1]
if not h then return 'l' end
if ARGV[5] ~= '' then call('HSET', PROGRESS, id, ARGV[5]) end
for i = 8, #ARGV, 2 do
  call('XADD', log, 'MAXLEN', ARGV[6], '*', 'a', h.attempt, 't', now, 'l', ARGV[i], 'm', ARGV[i + 1])
end
if #ARGV >= 8 then call('PEXPIRE', log, ARGV[7]) end
return h.cancel == 1 and 'c' or 'h'
