-- Ends attempts, each by its own token.
--
-- KEYS     the queue's
-- ARGV     3: worker; 4: how many completed without a result; 5: their tokens, six bytes each; then their ids; then per
--          other attempt: id; token; what follows, one of `c` complete, `y` retry, `s` snooze, `a` back to its place,
--          `d` discard, `x` cancel; its number (ms to wait, or the reason of a discard); its JSON (the result of a
--          completed job, else an error or nothing)
-- returns  a letter per attempt in this order: `h` done, now or by an earlier call; `l` lost, nothing was written for it
for _, each in ipairs(unsettled) do settle(each[1], parse(each[2]), 'c', 0, '') end
judge_completed(completed)
local ids, tokens = {}, {}
for i = 6 + plain, #ARGV, 5 do
  ids[#ids + 1], tokens[#tokens + 1] = ARGV[i], ARGV[i + 1]
end
local mine, over = held(ids, tokens)
for i, id in ipairs(ids) do
  local h, at = not ended[id] and mine[i], 5 * i + plain + 3
  status[plain + i] = (mine[i] or over[i]) and 'h' or 'l'
  if h then settle(id, h, ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]) end
end
done(ARGV[3])
if soonest then
  local a = tonumber(call('ZRANGE', SCHEDULED, 0, 0, 'WITHSCORES')[2] or math.huge)
  local b = tonumber(call('ZRANGE', RETRYABLE, 0, 0, 'WITHSCORES')[2] or math.huge)
  waiting = waiting or soonest <= math.min(a, b)
end
-- With limits of the queue somebody may wait for what is free now.
if waiting or ruled('q') then wake() end
return table.concat(status)
