-- Prelude of claim.lua: ageing. Of the jobs that a lane gives out every AGEING-th is the one with the oldest place, so that
-- no priority starves. A lane with jobs left behind counts what it gave, also what it put aside: META `aged` for those
-- without a tenant, DEPTHS for a tenant, as a zero and its name, for as long as it has waiting jobs.
local AGEING = tonumber(ARGV[13])

local function place_of(lane, text) return (unpack_bytes('>I6', text, #lane + 3)) end
-- The older one of two members of a lane, of which one may be missing.
local function older(lane, a, b)
  if not a or not b then return a or b end
  return place_of(lane, a) < place_of(lane, b) and a or b
end
-- How many of the next `count` jobs of a lane that has given `given` are to be its oldest.
local function aged_of(given, count) return math.floor((given + count) / AGEING) - math.floor(given / AGEING) end

-- The first `count` jobs of each level of a lane behind that of its first job, by place: one read for a level and one
-- more. With the next one by order they have the oldest ones, however many of its level are gone meanwhile.
local function oldest(lane, count, first_text)
  local old, level, _, to = {}, byte(first_text, #lane + 2), bounds(lane)
  while level do
    local from = '[' .. lane .. '\0' .. string.char(level + 1)
    local texts = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, count)
    level = texts[1] and byte(texts[1], #lane + 2)
    for _, text in ipairs(texts) do
      if byte(text, #lane + 2) == level then old[#old + 1] = text end
    end
  end
  table.sort(old, function(a, b) return place_of(lane, a) < place_of(lane, b) end)
  return old
end
-- The next one of `texts` from `n` on that was not used.
local function unused(texts, n, used)
  while texts[n] and used[texts[n]] do n = n + 1 end
  return n
end

-- Lets the oldest jobs of a tenant have every AGEING-th place among those that come first by their order.
local function mix(l)
  local wanted = aged_of(l.aged, #l.texts)
  if wanted == 0 then return end
  local old, mixed, used, n, m = oldest(l.name, wanted, l.texts[1]), {}, {}, 1, 1
  for i = 1, #l.texts do
    n, m = unused(l.texts, n, used), unused(old, m, used)
    mixed[i] = (l.aged + i) % AGEING == 0 and older(l.name, old[m], l.texts[n]) or l.texts[n]
    used[mixed[i]] = true
  end
  l.texts = mixed
end
-- Counts what a tenant's lane gave. Not before it gave something: removals come first when Redis is out of memory.
local function count_aged(l)
  later('HSET', DEPTHS, '\0' .. cut(l.name, 3), (l.aged + #l.texts) % AGEING)
end
-- What the lanes of tenants have given, with one command for all.
local function read_aged(lanes)
  local fields = {}
  for i, l in ipairs(lanes) do fields[i] = '\0' .. cut(l.name, 3) end
  if #fields == 0 then return end
  for i, given in ipairs(call('HMGET', DEPTHS, unpack(fields))) do lanes[i].aged = tonumber(given or 0) end
end
