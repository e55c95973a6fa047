-- Takes new jobs in. Every job whose id is new and whose unique key is free gets the next place.
--
-- KEYS     the queue's
-- ARGV     per job, from 3: id; spec (JSON); options, empty for a plain job that is to run now, or
--          "priority due expires_at unique ttl conflict hold": due is `-`, an instant in ms or `+` and ms from now;
--          expires_at in ms or 0; unique a digest or `-`; ttl in ms; conflict `return`, `reject` or `replace`; hold 0 or 1
-- returns  1 if every job went in, or per job: `+` it went in; `e`spec of the job that has the id already; and for a
--          taken unique key `u`holder, `t`holder (rejected), `r`holder (which now has the new content)
local count = (#ARGV - 2) / 3
-- The first write, and one that an exhausted Redis refuses: nothing is half-written then.
local place = stamp()
tick = tick + count
call('HSET', META, 'tick', tick)

local ids = {}
for i = 1, count do ids[i] = ARGV[3 * i] end
local known, mine, answer, refused = call('HMGET', SPEC, unpack(ids)), {}, {}, false
local added, soonest = false, nil

local function join(i, id, spec, options)
  local priority, due, expires, unique, ttl, conflict, hold
  if options ~= '' then
    priority, due, expires, unique, ttl, conflict, hold =
      string.match(options, '^(%d) (%S+) (%d+) (%S+) (%d+) (%a+) (%d)$')
    local taken = unique ~= '-' and key_taken(id, spec, unique, tonumber(ttl), conflict)
    if taken then return taken end
  end
  later('HSET', SPEC, id, pack('>I6I6', now, place + i) .. spec)
  local wait = due and string.match(due, '^%+(%d+)$')
  local at = wait and now + tonumber(wait) or tonumber(due or '') or now
  if options == '' or at <= now and priority == '5' and expires == '0' and unique == '-' then
    later('RPUSH', LINE, id)
    added = true
    say('e', 'a', 0, id)
    return '+'
  end
  local h = fresh(now, place + i)
  h.priority, h.expires = tonumber(priority), tonumber(expires)
  if unique ~= '-' then h.unique, h.ttl, h.hold = unique, tonumber(ttl), tonumber(hold) + 1 end
  enter(id, h, at > now and 's' or 'a', at)
  if at > now then soonest = math.min(soonest or at, at) else added = true end
  say('e', h.state, 0, id)
  return '+'
end

for i, id in ipairs(ids) do
  local spec = ARGV[3 * i + 1]
  -- What this call wrote itself is newer than what was there before.
  local there = mine[id] or known[i] and string.sub(known[i], 13)
  local said_so = there and 'e' .. there or join(i, id, spec, ARGV[3 * i + 2])
  if said_so == '+' then
    mine[id] = spec
  else
    refused = true
    if string.sub(said_so, 1, 1) == 'r' then mine[string.sub(said_so, 2)] = spec end
  end
  answer[i] = said_so
end
done()
-- A job that is due before all others shortens the wait of whoever waits.
if added or soonest and soonest <= tonumber(call('ZRANGE', SCHEDULED, 0, 0, 'WITHSCORES')[2] or 0) then wake() end
return refused and answer or 1
