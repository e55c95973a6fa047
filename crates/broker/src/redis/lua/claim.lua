-- Leases the first jobs of the line to a worker, after one slice of what time does to the queue.
--
-- KEYS     the queue's
-- ARGV     3: worker; 4: most jobs; 5: lease in ms; 6: slice; 7: cap of lost workers; 8-11: retention as prune() has it
-- returns  ms until it is worth to claim again (-1: unknown), then per job: id, spec, head
local max, slice = tonumber(ARGV[4]), tonumber(ARGV[6])
promote(slice)
reap(slice, tonumber(ARGV[7]))
expire(slice)
-- Not with every claim, but twice as fast as jobs are claimed.
if math.floor((token + max) / slice) > math.floor(token / slice) then
  prune({ tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]) }, 2 * math.max(slice, max))
end

local full = true
local pause = paused()
if not pause and max > 0 then
  local front, n = call('ZRANGE', WAITING, 0, max - 1, 'WITHSCORES'), 1
  local names = {}
  for i = 1, #front, 2 do names[#names + 1] = front[i] end
  local zspecs = #names > 0 and call('HMGET', SPEC, unpack(names))
  local zheads = heads(names)
  local score, id, spec = lane(max)
  while granted < max do
    local other = tonumber(front[2 * n] or math.huge)
    if score < other then
      local head = pack(LAYOUT, 'r', 5, 0, 0, 0, 0, now, score - 5 * LEVEL, token + granted + 1, now, 0, 0, 1,
        0, worker, '')
      grant(id, spec, head, 1)
      pass(id)
      if granted < max then score, id, spec = lane(max) end
    elseif other < math.huge then
      take(names[n], zspecs[n], zheads[n])
      n = n + 1
    else
      break
    end
  end
  if passed > 0 then call('LTRIM', LINE, passed, -1) end
  flush()
  send('HSET', HEAD, new_heads)
  send('ZADD', LEASES, new_leases)
  if granted > 0 then
    change('token', token + granted)
    first[LEASES] = math.min(peek(LEASES), tonumber(deadline))
  end
  full = granted == max or #names == max or passed > 2000
end
done(worker)
local more = full and available() > 0
if (more or math.min(peek(SCHEDULED), peek(RETRYABLE)) <= now) and not pause then wake() end
answer[1] = next_in(more, pause)
return answer
