-- Events after a cursor, as the entries that hold them.
--
-- KEYS     the queue's
-- ARGV     3: number of the last event that was read, or nothing; 4: its time in ms; 5: most events wanted
-- returns  number of the latest event, 1 if it begins anew, then per entry: number of its last event, events in it, time
--          in ms, worker, their lines
local after, limit = tonumber(ARGV[3]), tonumber(ARGV[5])
local latest = tonumber(call('HGET', META, 'seq') or 0)
local anew = after and is_of_another_past(after, ARGV[4], latest)
local answer, count = { latest, anew and 1 or 0 }, 0
local from = after and not anew and exact('%.0f-0', after + 1) or '-'
while count < limit do
  local entries = first_after(from, 16)
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
