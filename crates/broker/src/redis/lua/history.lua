-- Events after a cursor, as the entries that hold them.
--
-- KEYS     the queue's
-- ARGV     3: number of the last event that was read, or nothing; 4: most events wanted
-- returns  number of the latest event, then per entry: number of its last event, events in it, time in ms, worker,
--          their lines
local after, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local latest = tonumber(call('HGET', META, 'seq') or 0)
-- A number from the future is from a store that was emptied since: begin again.
if after and after > latest then after = nil end
local answer, count = { latest }, 0
local from = after and exact('%.0f-0', after + 1) or '-'
while count < limit do
  local entries = call('XRANGE', EVENTS, from, '+', 'COUNT', 16)
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    count = count + tonumber(fields[2])
    for _, value in ipairs({ string.match(entry[1], '^%d+'), fields[2], fields[4], fields[6], fields[8] }) do
      answer[#answer + 1] = value
    end
    if count >= limit then break end
    from = '(' .. entry[1]
  end
  if #entries < 16 then break end
end
return answer
