-- Takes new jobs in. Every job whose id is new and whose unique key is free gets the next place.
--
-- KEYS     the queue's
-- ARGV     per job, from 3: id; spec (JSON); options, empty for a plain job that is to run now, or
--          "priority due expires_at unique ttl conflict hold tenant key": due is `-`, an instant in ms or `+` and ms from
--          now; expires_at in ms or 0; unique a digest or `-`; ttl in ms; conflict `return`, `reject` or `replace`, the
--          last with the longest wait in ms right behind if it debounces; hold 0 or 1; tenant and key behind a `=`
-- returns  1 if every job went in, or per job: `+` it went in; `e`spec of the job that has the id already; for a taken
--          unique key `u`holder, `t`holder (rejected), `r`holder (which now has the new content); and if too many wait
--          `f`subject, limit, ms to wait or -1
for i, id in ipairs(ids) do
  local spec = ARGV[3 * i + 1]
  -- What this call wrote itself is newer than what was there before.
  local there = mine[id] or known_specs[i] and cut(known_specs[i], 13)
  local said_so = there and 'e' .. there or join(place + i, id, spec, ARGV[3 * i + 2])
  if said_so == '+' then
    mine[id] = spec
  else
    refused = true
    if byte(said_so, 1) == 114 then mine[cut(said_so, 2)] = spec end
  end
  answer[i] = said_so
end
done()
-- A job that is due before all others shortens the wait of whoever waits.
if added or soonest and soonest <= tonumber(call('ZRANGE', SCHEDULED, 0, 0, 'WITHSCORES')[2] or 0) then wake() end
return refused and answer or 1
