-- Prelude of claim.lua: what goes by the number of jobs that were claimed.

-- Counts claimed jobs, and keeps "since, count then, jobs a second" for whoever has to say when there is room again.
local function count_claimed(before, more)
  local claimed = before + more
  change('claimed', exact('%.0f', claimed))
  local since, count = string.match(known(6) or '', '^(%d+) (%d+) ')
  local passed_ms = now - tonumber(since or now)
  if not since or passed_ms >= 5000 then
    local rate = since and (claimed - tonumber(count)) * 1000 / passed_ms or 0
    change('pace', exact('%.0f %.0f %.3f', now, claimed, rate))
  end
end

-- Removes ended jobs: not with every claim, but twice as fast as jobs are claimed.
local function prune_now_and_then(claimed, max, slice)
  if math.floor((claimed + max) / slice) == math.floor(claimed / slice) then return end
  prune({ tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]) }, 2 * math.max(slice, max))
end
