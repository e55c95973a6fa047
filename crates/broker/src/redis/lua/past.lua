-- Prelude: where readers of events stand.

local function first_after(from, count) return call('XRANGE', EVENTS, from, '+', 'COUNT', count) end
-- Whether the event of this number and time, a text, never was one of this queue: the store was emptied since, or a
-- replica without the last writes took over and gave the number to another one.
local function is_of_another_past(number, at, latest)
  if number > latest then return true end
  local entry = first_after(exact('%.0f-0', number), 1)[1]
  if not entry then return false end
  local first = tonumber(string.match(entry[1], '^%d+')) - tonumber(entry[2][2]) + 1
  return first <= number and entry[2][4] ~= at
end
