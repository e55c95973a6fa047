-- One bounded slice of what time does to a queue.
--
-- KEYS     the queue's
-- ARGV     3: slice; 4: cap of lost workers; 5-8: retention as prune() has it
-- returns  promoted, expired, lost, pruned, 1 if a slice was full, ms until the next job is due or lease ends (or -1)
local slice = tonumber(ARGV[3])
local promoted = promote(slice)
local lost = reap(slice, tonumber(ARGV[4]))
local expired = expire(slice)
local pruned, more = prune({ tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]) }, slice)
local reopened, paused = reopen(slice), rule('q').paused
done()
-- Without a new event, what was recorded since the last one makes room here.
local dropped = said > 0 and 0 or call('XTRIM', EVENTS, 'MINID', '~', may_go(tonumber(known(2) or 0)))
local some = claimable()
if (reopened or promoted + lost > 0) and some then wake() end
more = more or math.max(expired, lost, promoted, dropped) >= slice
return { promoted, expired, lost, pruned, more and 1 or 0, next_in(some, paused) }
