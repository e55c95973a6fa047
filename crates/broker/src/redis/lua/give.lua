-- Prelude of claim.lua: which jobs are taken among those without a tenant.

-- Jobs that one claim looks at beside those that it gives out: those that are held back are put aside once.
local function enough(max) return looked >= max + 1000 end

-- The ids, specs and heads of members of WAITING.
local function open(lane, texts, ids, orders)
  for _, text in ipairs(texts) do orders[#orders + 1], ids[#ids + 1] = read_member(lane, text) end
end
local function columns(ids)
  if #ids == 0 then return {}, {} end
  return call('HMGET', SPEC, unpack(ids)), call('HMGET', HEAD, unpack(ids))
end

-- Gives out up to `count` jobs without a tenant: fresh ones and others merged by their order. Answers whether all of
-- them were seen.
local function give_plain(count, max)
  flush()
  local from, to = bounds('')
  local texts, ids, orders, n = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, count), {}, {}, 1
  open('', texts, ids, orders)
  local specs, raws = columns(ids)
  local goal, limited = granted + count, ruled('q') or ruled('k')
  local score, id, spec = lane(count)
  while granted < goal and not enough(max) do
    -- Those that were read are used up, and there may be more of them.
    if n > #texts and #texts == count then break end
    local other = orders[n] or math.huge
    if score < other then
      looked = looked + 1
      local subject = ruled('k') and refused_by(id, spec, '')
      if #spec < 12 then
        discard_damaged(id, fresh(now, 0))
      elseif subject then
        park(id, fresh(unpack_bytes('>I6I6', spec)), subject)
      else
        if limited then admit(id, spec, '', '') end
        grant(id, spec, pack(LAYOUT, 'r', 5, 0, 0, 0, 0, now, score - 5 * LEVEL, stamp(), now, 0, 0, 1, 0, worker,
          '', '', '', ''), 1)
      end
      pass(id)
      if granted < goal then score, id, spec = lane(count) end
    elseif other < math.huge then
      take(texts[n], ids[n], specs[n], raws[n])
      n = n + 1
    else
      break
    end
  end
  return score == math.huge and not stopped and n > #texts and #texts < count
end
