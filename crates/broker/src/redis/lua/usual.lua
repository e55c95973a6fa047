-- Prelude of claim.lua: the short way of the usual claim.

local function due_at(set) return tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2] or math.huge) end
-- When nothing is due, and there is nothing to choose from but fresh jobs, none of them void: gives out the first of
-- them. Does what give() does with a fifth of the work. Answers nothing, having done nothing, if it is not the usual case.
local function give_fresh()
  local max, slice, claimed = tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(known(3) or 0)
  if not unruled() or max < 1 or ARGV[12] ~= '' then return end
  if call('EXISTS', WAITING, RING, PARKED) > 0 then return end
  local line, leases = call('LLEN', LINE), due_at(LEASES)
  if line ~= call('HLEN', SPEC) - call('HLEN', HEAD) then return end
  local soonest, expiry = math.min(due_at(SCHEDULED), due_at(RETRYABLE), leases), due_at(EXPIRING)
  if math.min(soonest, expiry) <= now then return end
  if line == 0 then return { soonest < math.huge and soonest - now or -1, {}, {}, 0 } end
  local ids = call('LRANGE', LINE, 0, max - 1)
  local specs, heads, entries = call('HMGET', SPEC, unpack(ids)), {}, {}
  for _, spec in ipairs(specs) do
    if not spec or #spec < 12 then return end
  end
  prune_now_and_then(claimed, max, slice)
  call('LTRIM', LINE, #ids, -1)
  local deadline, token = exact('%.0f', now + tonumber(ARGV[5])), stamp()
  tick = tick + #ids - 1
  local before = pack('>c1BBBBBI6', 'r', 5, 0, 0, 0, 0, now)
  local behind = pack('>I6I6I6I4I4sssss', now, 0, 0, 1, 0, ARGV[3], '', '', '', '')
  for i, id in ipairs(ids) do
    local at = 2 * i
    heads[at - 1], heads[at] = id, before .. cut(specs[i], 7, 12) .. pack('>I6', token + i - 1) .. behind
    entries[at - 1], entries[at] = deadline, id
  end
  send('HSET', HEAD, heads)
  send('ZADD', LEASES, entries)
  say_alike('c', 'r', 1, ids)
  count_claimed(claimed, #ids)
  done(ARGV[3])
  if line > #ids then
    wake()
    return { 0, ids, specs, token }
  end
  return { math.min(soonest, tonumber(deadline)) - now, ids, specs, token }
end
local answered = give_fresh()
if answered then return answered end
