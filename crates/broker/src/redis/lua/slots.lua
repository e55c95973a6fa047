-- Prelude: slots. SLOTS has a subject, a zero and an id for each job that has one of the subject's slots: as leases are, a
-- slot is held by being written there, and counted by looking.

local function slot(subject, id) return subject .. '\0' .. id end

-- When to look again at subjects that got free slots (0: at once), and at those that hold jobs back.
local freed, parked = {}, {}
-- A job that ran (`was` is the letter of its state) or is at its end gives its slots back. One that is not at its end
-- keeps that of an ordered key, and may have it while it waits.
local function free(id, h, was, ended)
  if h.tenant ~= '' and was == 'r' then
    later('ZREM', SLOTS, slot('t:' .. h.tenant, id))
    freed['t:' .. h.tenant] = 0
  end
  local key = 'y:' .. h.key
  if h.key == '' then return end
  local ordered = rule(key).ordered == 1
  if ended or not ordered then later('ZREM', SLOTS, slot(key, id)) end
  if ordered and ended or not ordered then freed[key] = 0 end
end
-- Who waits for a slot that was freed is looked at by the next claim, or by this one.
local function tell_freed()
  local args = {}
  for subject, at in pairs(freed) do
    -- What was held back after that is known better.
    if not parked[subject] then args[#args + 1], args[#args + 2] = exact('%.0f', at), subject end
  end
  for from = 1, #args, 1000 do
    if call('ZADD', PARKED, 'XX', 'CH', unpack(args, from, math.min(from + 999, #args))) > 0 then wake() end
  end
end
endings[#endings + 1] = function()
  for subject, g in pairs(gates) do
    if g.interval then spend(subject, g.full, g.interval, g.started) end
  end
  for subject, again in pairs(parked) do later('ZADD', PARKED, exact('%.0f', again), subject) end
  flush()
  tell_freed()
end
