-- A page of the jobs of one state but available: due ones by due time, running ones by lease, ended ones newest first.
--
-- KEYS     the queue's
-- ARGV     3: the state's letter; 4: page size; 5: cursor, empty at first: the score and id of the last job
-- returns  the next cursor or nothing, then seven facts per job as describe() has them
local state, limit = ARGV[3], tonumber(ARGV[4])
local last, last_id = string.match(ARGV[5], '^(%-?%d+):(.+)$')
last = tonumber(last or '')
local set, newest_first = SET[state], ENDED[state]

-- Position behind the last job of the page before. If that job has moved on, the first of its score may show again.
local function start()
  if not last then return 0 end
  local there = tonumber(call('ZSCORE', set, last_id) or '')
  if there == last then return call(newest_first and 'ZREVRANK' or 'ZRANK', set, last_id) + 1 end
  if newest_first then return call('ZCOUNT', set, exact('(%.0f', last), '+inf') end
  return call('ZCOUNT', set, '-inf', exact('(%.0f', last))
end
local from = start()
local found = call(newest_first and 'ZREVRANGE' or 'ZRANGE', set, from, from + limit, 'WITHSCORES')
local answer, ids = { false }, {}
for i = 1, math.min(#found / 2, limit) do ids[i] = found[2 * i - 1] end
if #found > 2 * limit then answer[1] = exact('%.0f:', tonumber(found[2 * limit])) .. ids[limit] end
describe(answer, ids)
return answer
