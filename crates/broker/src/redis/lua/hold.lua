-- Prelude of every script that writes: what somebody records elsewhere is kept until it is recorded, within a bound.

-- Number and time of the latest event that is recorded; false if nobody records, or has not said so for a day.
local LAPSE = 86400000
local hold
local function recorded()
  if hold == nil then
    local number, at, said = string.match(known(7) or '', '^(%d+) (%d+) (%d+)')
    hold = number and now - said < LAPSE and { number = tonumber(number), at = tonumber(at) } or false
  end
  return hold
end
-- Events kept, and how many more for a recorder. As many ended jobs of a state are kept for it, if they have no more bytes
-- than that.
local function events_kept()
  local kept, more, bytes = string.match(ARGV[2], '^(%d+) (%d+) ?(%d*)')
  return tonumber(kept), tonumber(more), tonumber(bytes)
end
-- How many jobs like the oldest eight of a set have so many bytes. A job takes about 480 besides content and result.
local function jobs_of(bytes, set)
  local ids, taken = call('ZRANGE', set, 0, 7), 0
  for _, id in ipairs(ids) do taken = taken + call('HSTRLEN', SPEC, id) + call('HSTRLEN', RESULTS, id) + 480 end
  return math.floor(bytes * #ids / math.max(taken, 1))
end
-- The number up to which events may go when `latest` is the latest.
local function may_go(latest)
  local kept, more = events_kept()
  local oldest, held = latest - kept, recorded()
  if held then oldest = math.max(math.min(oldest, held.number), oldest - more) end
  return exact('%.0f-0', math.max(oldest, 0))
end
-- How many of the first jobs of an ended set may go: those that ended before the recorded event's millisecond, and those
-- beyond `most` and the bound. The ticks by which they stand are never behind the time.
local function jobs_may_go(set, size, most, latest)
  local held = recorded()
  if not held or held.number >= latest then return size end
  local _, more, bytes = events_kept()
  if bytes and size > most then more = math.min(more, jobs_of(bytes, set)) end
  return math.max(call('ZCOUNT', set, '-inf', exact('(%.0f', (held.at - EPOCH) * TICKS)), size - most - more)
end
