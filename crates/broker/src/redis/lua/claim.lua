-- Leases the first jobs of the line to a worker, after one slice of what time does to the queue.
--
-- KEYS     the queue's
-- ARGV     3: worker; 4: most jobs; 5: lease in ms; 6: slice; 7: cap of lost workers; 8-11: retention as prune() has it;
--          12: if the answer to the worker's last claim was lost, the token of the last job that it has got, else nothing;
--          13: each how many-th job is the oldest
-- returns  ms until it is worth to claim again (-1: unknown); ids and specs of fresh jobs, the token of the first of them
--          (the others follow), or without any 1 if the worker missed more than it asked for now; then per other job: id, spec, head
local max, slice = tonumber(ARGV[4]), tonumber(ARGV[6])
promote(slice)
reap(slice, tonumber(ARGV[7]))
expire(slice)
local claimed = tonumber(known(3) or 0)
prune_now_and_then(claimed, max, slice)
if ARGV[12] ~= '' then answer_again(tonumber(ARGV[12]), max) end

local blocked, more = rule('q').paused, false
local queue = ruled('q') and gate('q')
local most = queue and math.min(max - granted, room(queue)) or max - granted
if not blocked and most > 0 then
  if next(freed) then
    tell_freed()
    first[PARKED] = nil
  end
  reopen(slice)
  more = give(granted + most)
  if passed > 0 then call('LTRIM', LINE, passed, -1) end
end
if granted > 0 then
  flush()
  send('HSET', HEAD, new_heads)
  send('ZADD', LEASES, new_leases)
  count_claimed(claimed, granted)
  first[LEASES] = math.min(peek(LEASES), tonumber(deadline))
end
if queue and room(queue) < 1 then blocked = math.max(blocked or 0, again(queue, 0)) end
done(worker)
-- What the whole queue waits for matters only to jobs.
local some = (blocked or more or most < 1) and claimable()
first[PARKED] = nil
if not blocked and (some or math.min(peek(SCHEDULED), math.max(peek(RETRYABLE), damped)) <= now) then wake() end
answer[1], answer[2], answer[3] = next_in(some, blocked), {}, {}
return answer
