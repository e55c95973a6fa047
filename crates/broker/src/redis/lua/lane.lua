-- Prelude: reading LINE, where the fresh jobs stand, from its front.

-- Entries passed over or taken so far, and what was read but not yet passed: ids, specs, places (false: void entry).
-- A reader that does not begin at the front says so in `began` and `passed`.
local began, passed, ids_, specs_, places, at = 0, 0, {}, {}, {}, 1
local taken, stopped = {}, false

-- Reads the next entries. Void are those whose job has a head or is gone, and those behind which smaller places follow:
-- such a job was deleted and its id used again, so its entry is further behind.
local function read_on(count)
  ids_, at = call('LRANGE', LINE, passed, passed + count - 1), 1
  if #ids_ == 0 then return end
  local read_heads, least = call('HMGET', HEAD, unpack(ids_)), math.huge
  specs_ = call('HMGET', SPEC, unpack(ids_))
  for i = #ids_, 1, -1 do
    places[i] = false
    if specs_[i] and not read_heads[i] then
      -- One that was damaged comes first, to be discarded.
      local place = #specs_[i] < 12 and -1 or unpack_bytes('>I6', specs_[i], 7)
      if place < least then places[i], least = place, place end
    end
  end
end
-- The next fresh job: its score as it would stand in WAITING, its id, its spec. Void entries are passed over, up to a
-- bound; math.huge when there is no further job. Reads little more than `batch` entries at first.
local function lane(batch)
  while true do
    local id = ids_[at]
    if not id then
      if passed - began > batch + 2000 then
        stopped = true
        return math.huge
      end
      read_on(passed == began and math.min(batch + 1, 1000) or 200)
      id = ids_[1]
      if not id then return math.huge end
    end
    if places[at] and not taken[id] then return 5 * LEVEL + places[at], id, specs_[at] end
    at, passed = at + 1, passed + 1
  end
end
-- Passes the job that lane() answered last.
local function pass(id)
  taken[id] = true
  at, passed = at + 1, passed + 1
end
