-- Prelude: gates. How many jobs of a subject may start in this script, and when more may.

local gates = {}
-- The gate of a subject: `slots` and `tokens` are what its limits leave, `again` is when to look again if that is nothing.
local function gate(subject)
  local g = gates[subject]
  if g then return g end
  local r = rule(subject)
  g = { slots = math.huge, tokens = math.huge, again = now + SOON, started = 0, rule = r }
  gates[subject] = g
  if r.concurrency then
    local used = subject == 'q' and call('ZCARD', LEASES)
      or call('ZLEXCOUNT', SLOTS, '[' .. subject .. '\0', '(' .. subject .. '\1')
    g.slots = r.concurrency - used
  end
  if r.rate then
    g.interval = r.per / r.rate
    g.tokens, g.full = tokens(subject, g.interval, r.burst)
  end
  if r.paused then
    g.tokens, g.again = 0, math.min(g.again, r.paused)
  end
  if r.failures then
    local failed, till, probe = string.match(call('HGET', BREAKERS, subject) or '', '^(%d+) (%d+) ?(.*)$')
    till = tonumber(till or 0)
    if till > now then
      g.tokens, g.again = 0, math.min(g.again, till)
    elseif till > 0 then
      -- Half open: one at a time.
      local raw = probe ~= '' and call('HGET', HEAD, probe)
      g.tokens, g.probes = math.min(g.tokens, raw and byte(raw, 1) == 114 and 0 or 1), failed .. ' ' .. exact('%.0f', till)
    end
  end
  return g
end
local function room(g) return math.max(math.min(g.slots, g.tokens), 0) end
-- When to look at a gate again that lets `more` jobs through now and is closed then.
local function again(g, more)
  if not g.interval then return g.again end
  local at = math.ceil(g.full + (g.started + more - g.rule.burst + 1) * g.interval)
  -- With tokens left it is something else that keeps it closed.
  return at > now and math.min(g.again, at) or g.again
end

-- Takes what a job needs that starts now; `holds` if it has the slot of its key already.
local function pass_gate(subject, id, holds)
  local g = gate(subject)
  g.tokens, g.started = g.tokens - 1, g.started + 1
  if not holds then g.slots = g.slots - 1 end
  if g.probes then later('HSET', BREAKERS, subject, g.probes .. ' ' .. id) end
end
