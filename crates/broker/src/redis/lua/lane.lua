-- Prelude: reading LINE, where the fresh jobs stand, from its front.

-- Entries passed over or taken so far, and the ones read but not yet passed.
local passed, read_ids, read_specs, read_heads, at = 0, {}, {}, {}, 1
local taken = {}

-- The next fresh job: its score as it would stand in WAITING, its id, its spec. Void entries are passed over, up to a
-- bound; math.huge when there is no further one. Reads `batch` entries at first.
local function lane(batch)
  while true do
    local id = read_ids[at]
    if not id then
      if passed > batch + 2000 then return math.huge end
      read_ids, at = call('LRANGE', LINE, passed, passed + (passed == 0 and batch or 200) - 1), 1
      id = read_ids[1]
      if not id then return math.huge end
      read_specs, read_heads = call('HMGET', SPEC, unpack(read_ids)), call('HMGET', HEAD, unpack(read_ids))
    end
    if read_specs[at] and not read_heads[at] and not taken[id] then
      local _, place = struct.unpack('>I6I6', read_specs[at])
      return 5 * LEVEL + place, id, read_specs[at]
    end
    at, passed = at + 1, passed + 1
  end
end
-- Passes the job that lane() answered last.
local function pass(id)
  taken[id] = true
  at, passed = at + 1, passed + 1
end
