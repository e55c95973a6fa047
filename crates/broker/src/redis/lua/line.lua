-- A page of the available jobs: those without a tenant in the order of the line, then lane by lane those of tenants, and
-- those that are held back.
--
-- KEYS     the queue's
-- ARGV     3: page size; 4: cursor, empty at first: "order:id" of the last job, behind its lane and a space unless that
--          is the first one
-- returns  the next cursor or nothing, then seven facts per job as describe() has them
local limit = tonumber(ARGV[3])
local lane_name, last, last_id = string.match(ARGV[4], '^(%S*) ?(%d+):(.+)$')
if ARGV[4] ~= '' and not string.find(ARGV[4], ' ', 1, true) then
  lane_name, last, last_id = '', string.match(ARGV[4], '^(%d+):(.+)$')
end
last = tonumber(last or '')
local page = {}

-- Where in LINE the jobs behind the cursor begin: places grow along it, so halve the distance.
local function place_at(index)
  local spec = call('HGET', SPEC, call('LINDEX', LINE, index) or '')
  if spec and #spec >= 12 then return (select(2, unpack_bytes('>I6I6', spec))) end
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
-- The members of WAITING behind the cursor, below `to`.
local function members(from, to)
  for _, text in ipairs(call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, limit + 1)) do
    local name = string.match(text, '^%Z*')
    local order, id = read_member(name, text)
    page[#page + 1] = { order, id, name }
  end
end
local function cursor_member()
  return '(' .. lane_name .. '\0' .. math.floor(last / LEVEL) .. pack('>I6', last % LEVEL) .. last_id
end

if not last or lane_name == '' then
  members(last and cursor_member() or '[\0', '(\1')
  if last and last >= 5 * LEVEL then began = behind(last - 5 * LEVEL) end
  passed = began
  local more = not last and limit + 1 or last < 6 * LEVEL and limit + 1 or 0
  while more > 0 do
    local order, id = lane(limit)
    if not id then break end
    -- Between deleted jobs the search may have begun too early: what was shown is not shown again.
    if not last or order > last then page[#page + 1], more = { order, id, '' }, more - 1 end
    pass(id)
  end
  table.sort(page, function(a, b) return a[1] < b[1] end)
end
if #page <= limit then members(last and lane_name ~= '' and cursor_member() or '[\1', '+') end

local answer, ids = { false }, {}
for i = 1, math.min(#page, limit) do ids[i] = page[i][2] end
if #page > limit then
  local at = page[limit]
  answer[1] = (at[3] ~= '' and at[3] .. ' ' or '') .. exact('%.0f:', at[1]) .. at[2]
end
describe(answer, ids)
return answer
