-- Prelude of claim.lua: what becomes of a job that is taken out of the line.

local worker, deadline = ARGV[3], exact('%.0f', now + tonumber(ARGV[5]))
local new_heads, new_leases = {}, {}
local granted, looked, answer = 0, 0, { 0, 0, 0, 0 }
local function grant(id, spec, head, attempt)
  local at = 3 * granted + 5
  answer[at], answer[at + 1], answer[at + 2] = id, spec, head
  at = #new_heads
  new_heads[at + 1], new_heads[at + 2] = id, head
  new_leases[at + 1], new_leases[at + 2] = deadline, id
  granted = granted + 1
  say('c', 'r', attempt, id)
end

-- An ordered key lets the job through that has its slot already.
local function holds(key, id) return rule(key).ordered == 1 and call('ZSCORE', SLOTS, slot(key, id)) end
-- Whether a job that an ordered key held back stands before this one.
local function older_waits(subject, order)
  local from, to = bounds(subject)
  local text = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, 1)[1]
  return text and read_member(subject, text) < order
end
-- The kind or key that holds a job back; nothing if it may start. Fresh jobs have no key.
local function refused_by(id, spec, key, order)
  if ruled('k') then
    local kind = 'k:' .. kind_of(spec)
    if room(gate(kind)) < 1 then return kind end
  end
  if key ~= '' and ruled('y') then
    local subject = 'y:' .. key
    local g = gate(subject)
    if g.tokens < 1 or g.slots < 1 and not holds(subject, id) then return subject end
    if g.rule.ordered == 1 and older_waits(subject, order) and not holds(subject, id) then return subject end
  end
end
-- Takes slots and tokens for a job that starts.
local function admit(id, spec, tenant, key)
  if ruled('q') then pass_gate('q', id) end
  if ruled('k') then pass_gate('k:' .. kind_of(spec), id) end
  if tenant ~= '' then
    if ruled('t') then pass_gate('t:' .. tenant, id) end
    later('ZADD', SLOTS, 0, slot('t:' .. tenant, id))
  end
  if key ~= '' then
    if ruled('y') then pass_gate('y:' .. key, id, holds('y:' .. key, id)) end
    later('ZADD', SLOTS, 0, slot('y:' .. key, id))
  end
end
