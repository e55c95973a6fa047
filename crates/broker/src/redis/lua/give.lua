-- Prelude of claim.lua: which jobs are taken among those without a tenant.

-- Jobs that one claim looks at beside those that it gives out: those that are held back are put aside once.
local function enough(max) return looked >= max + 1000 end
-- The ids of members of WAITING, and their specs and heads.
local function open(lane, texts, ids)
  for _, text in ipairs(texts) do ids[#ids + 1] = select(2, read_member(lane, text)) end
end
local function columns(ids)
  if #ids == 0 then return {}, {} end
  return call('HMGET', SPEC, unpack(ids)), call('HMGET', HEAD, unpack(ids))
end

-- Whether the fresh job with this score comes before a member of WAITING, by order or by age.
local function fresh_first(score, text, by_age)
  if score == math.huge or not text then return score < math.huge end
  if by_age then return score - 5 * LEVEL < place_of('', text) end
  return score < (read_member('', text))
end
-- What those without a tenant have given so far, read once.
local plain_given
-- Gives out up to `count` jobs without a tenant: fresh ones and others merged by their order, or by age where it is the
-- oldest one's turn. Answers whether all of them were seen.
local function give_plain(count, max)
  flush()
  local from, to = bounds('')
  local texts, ids, n, m, used = call('ZRANGE', WAITING, from, to, 'BYLEX', 'LIMIT', 0, count), {}, 1, 1, {}
  open('', texts, ids)
  local specs, raws = columns(ids)
  -- Fresh jobs alone are of one level.
  local goal, ages, old, left_old = granted + count, #texts > 0, nil, 0
  if ages then plain_given = plain_given or tonumber(call('HGET', META, 'aged') or 0) end
  local score, id, spec = lane(count)
  while granted < goal and not enough(max) do
    n = unused(texts, n, used)
    -- Those that were read are used up, and there may be more of them.
    if n > #texts and #texts == count then break end
    local text, by_age = texts[n], ages and (plain_given + 1) % AGEING == 0
    if by_age then
      if not old then left_old = aged_of(plain_given, goal - granted) elseif left_old == 0 then break end
      old, left_old = old or oldest('', left_old, texts[1]), left_old - 1
      m = unused(old, m, used)
      text = older('', old[m], text)
    end
    if fresh_first(score, text, by_age) then
      take_fresh(score, id, spec)
      if granted < goal then score, id, spec = lane(count) end
    elseif text then
      used[text] = true
      local its_id = id_of(text)
      if its_id == ids[n] then
        take(text, its_id, specs[n], raws[n])
      else
        take(text, its_id, call('HGET', SPEC, its_id), call('HGET', HEAD, its_id))
      end
    else
      break
    end
    if ages then plain_given = plain_given + 1 end
  end
  if ages then change('aged', plain_given % AGEING) end
  return score == math.huge and not stopped and unused(texts, n, used) > #texts and #texts < count
end
