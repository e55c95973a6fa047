-- Prelude: limits. A subject is `q` for the queue, or `t:`tenant, `k:`kind, `y:`key; `t:*` and `y:*` hold for those
-- without rules of their own. RULES has a subject's limits (numbers in the order of rule(), `-` for none), and below
-- `p` and the subject its pause ("since until JSON"). Most queues have no rules and pay one comparison.

-- What is held back is looked at again after so many ms at the latest: heals whatever was missed.
local SOON = 30000
local counts
-- Whether any subject of this sort has rules.
local function ruled(sort)
  if not counts then
    counts = {}
    counts.q, counts.t, counts.k, counts.y = string.match(known(4) or '0 0 0 0', '^(%d+) (%d+) (%d+) (%d+)$')
  end
  return counts[sort] ~= '0'
end
-- Counts rules of a sort that came or went.
local function count_rules(sort, more)
  if more == 0 then return end
  ruled(sort)
  counts[sort] = exact('%.0f', math.max(counts[sort] + more, 0))
  change('rules', counts.q .. ' ' .. counts.t .. ' ' .. counts.k .. ' ' .. counts.y)
end

local rules, NONE = {}, {}
local function rule(subject)
  local sort = cut(subject, 1, 1)
  if not ruled(sort) or subject == 't:' then return NONE end
  local r = rules[subject]
  if r then return r end
  r = {}
  rules[subject] = r
  local own, pause, star = unpack(call('HMGET', RULES, subject, 'p' .. subject, sort .. ':*'))
  local words = {}
  for word in string.gmatch(own or star or '', '%S+') do words[#words + 1] = tonumber(word) or false end
  r.concurrency, r.ordered, r.rate, r.per, r.burst, r.depth, r.weight, r.retries, r.retries_per, r.retries_burst,
    r.failures, r.cooldown = unpack(words)
  if r.ordered == 1 then r.concurrency = 1 end
  if pause then
    local till = tonumber(string.match(pause, '^%d+ (%d*)'))
    if till and till <= now then
      count_rules(sort, -call('HDEL', RULES, 'p' .. subject))
    else
      r.paused = till or math.huge
    end
  end
  return r
end

local function spend(bucket, full, interval, count)
  if count > 0 then later('ZADD', BUCKETS, exact('%.3f', full + count * interval), bucket) end
end
-- Tokens in a bucket now, and the time of the next one. A bucket is one number: when it is full again, at `interval`
-- ms a token. Full buckets are not kept.
local function tokens(bucket, interval, burst)
  local full = math.max(tonumber(call('ZSCORE', BUCKETS, bucket) or 0), now)
  if full > now + burst * interval then
    -- The rate was another one when the last token was taken.
    full = now + burst * interval
    spend(bucket, full, 0, 1)
  end
  return math.floor((now + burst * interval - full) / interval + 1e-6), full, math.ceil(full - (burst - 1) * interval)
end
