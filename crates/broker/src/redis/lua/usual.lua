-- Prelude of claim.lua: the usual case in short.

-- Fresh jobs of the first attempt, as the answer has them: ids, specs, the token of the first.
local first_ids, first_specs, first_token = {}, {}, 0
-- The usual case: nothing to choose from but fresh jobs, none of them void, no limit but the queue's. Gives out up to
-- `count` of them. What give() does, with a fifth of the work a job. Answers nothing, having done nothing, if one of them
-- is damaged.
local function give_fresh(count)
  local ids = call('LRANGE', LINE, 0, count - 1)
  local specs = call('HMGET', SPEC, unpack(ids))
  for _, spec in ipairs(specs) do
    if #spec < 12 then return end
  end
  call('LTRIM', LINE, #ids, -1)
  local before, behind = pack('>c1BBBBBI6', 'r', 5, 0, 0, 0, 0, now), pack('>I6I6I6I4I4sssss', now, 0, 0, 1, 0, worker,
    '', '', '', '')
  first_token = stamp()
  tick = tick + #ids - 1
  for i, id in ipairs(ids) do
    local at = 2 * i
    new_heads[at - 1] = id
    new_heads[at] = before .. cut(specs[i], 7, 12) .. pack('>I6', first_token + i - 1) .. behind
    new_leases[at - 1], new_leases[at] = deadline, id
  end
  first_ids, first_specs = ids, specs
  say_alike('c', 'r', 1, ids)
  return true
end
local function is_usual(queue)
  if ruled('k') or ruled('t') or queue and queue.probes or call('ZCARD', WAITING) > 0 then return false end
  local line = call('LLEN', LINE)
  return line > 0 and line == fresh_ones()
end
