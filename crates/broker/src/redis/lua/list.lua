-- A page of the jobs of one state: available ones in the order of the line, due ones by due time, running ones by
-- lease, ended ones newest first.
--
-- KEYS     the queue's
-- ARGV     3: the state's letter; 4: page size; 5: cursor, empty at first: the score and id of the last job
-- returns  the next cursor or nothing, then seven facts per job as describe() has them
local state, limit = ARGV[3], tonumber(ARGV[4])
local last, last_id = string.match(ARGV[5], '^(%-?%d+):(.+)$')
last = tonumber(last or '')
local set, newest_first = SET[state], ENDED[state]
local page = {}

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
for i = 1, #found, 2 do page[#page + 1] = { tonumber(found[i + 1]), found[i] } end

-- Where in LINE the jobs behind the cursor begin: places grow along it, so halve the distance.
local function place_at(index)
  local spec = call('HGET', SPEC, call('LINDEX', LINE, index) or '')
  if spec then return (select(2, unpack_bytes('>I6I6', spec))) end
end
local function behind(place)
  local low, high = 0, call('LLEN', LINE)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local probe, found_place = middle, place_at(middle)
    while not found_place and probe + 1 < high and probe - middle < 100 do
      probe = probe + 1
      found_place = place_at(probe)
    end
    if found_place and found_place <= place then low = probe + 1 else high = middle end
  end
  return low
end
if state == 'a' and (not last or last < 6 * LEVEL) then
  if last and last >= 5 * LEVEL then began = behind(last - 5 * LEVEL) end
  passed = began
  local more = limit + 1
  while more > 0 do
    local score, id = lane(limit)
    if not id then break end
    -- Between deleted jobs the search may have begun too early: what was shown is not shown again.
    if not last or score > last then
      page[#page + 1], more = { score, id }, more - 1
    end
    pass(id)
  end
  table.sort(page, function(a, b) return a[1] < b[1] end)
end

local answer, ids = { false }, {}
for i = 1, math.min(#page, limit) do ids[i] = page[i][2] end
if #page > limit then answer[1] = exact('%.0f:', page[limit][1]) .. page[limit][2] end
describe(answer, ids)
return answer
