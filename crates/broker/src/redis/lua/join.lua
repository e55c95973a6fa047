-- Prelude of enqueue.lua: one new job.

local added, soonest = false, nil
-- Takes a job in whose id is new; answers as the script does.
local function join(place, id, spec, options)
  local o
  if options ~= '' then
    o = read_options(options)
    local taken = o.unique ~= '' and key_holder(id, spec, o)
    if taken then return taken end
  end
  local full = refused_depth(o and o.tenant or '')
  if full then return full end
  if o and o.unique ~= '' then take_key(id, o) end
  later('HSET', SPEC, id, pack('>I6I6', now, place) .. spec)
  if not o or is_plain(o) then
    later('RPUSH', LINE, id)
    added = true
    say('e', 'a', 0, id)
    return '+'
  end
  local h = fresh(now, place)
  h.state, h.priority, h.expires, h.tenant, h.key = '', o.priority, o.expires, o.tenant, o.key
  if o.unique ~= '' then h.unique, h.ttl, h.hold = o.unique, o.ttl, o.hold + 1 end
  enter(id, h, o.at > now and 's' or 'a', o.at)
  if o.at > now then soonest = math.min(soonest or o.at, o.at) else added = true end
  say('e', h.state, 0, id)
  return '+'
end
