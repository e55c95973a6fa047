-- Replaces the spec and the priority of a job that does not run, if its spec is still the one that was read.
--
-- KEYS     the queue's
-- ARGV     3: id; 4: spec as it was read, with its first 12 bytes; 5: new spec (JSON); 6: new priority or nothing
-- returns  `ok`, `missing`, `changed` (read again), or `illegal` and the state
local id = ARGV[3]
local h, spec = load(id)
if not h or not spec then return { 'missing' } end
if h.state == 'r' then return { 'illegal', h.state } end
if spec ~= ARGV[4] then return { 'changed' } end
later('HSET', SPEC, id, string.sub(spec, 1, 12) .. ARGV[5])
local priority = tonumber(ARGV[6])
if priority and priority ~= h.priority then
  if h.state == 'a' then later('ZREM', WAITING, member(id, h)) end
  h.priority = priority
  -- Its head says that a fresh job is not fresh any more: its entry in LINE is void from here on.
  later('HSET', HEAD, id, format(h))
  if h.state == 'a' then later('ZADD', WAITING, 0, member(id, h)) end
end
say('m', h.state, h.attempt, id)
done()
return { 'ok' }
