-- Prelude: what readers see of a job.

-- Appends to `answer` per job that exists: id, spec, head, the score of its set (due time or lease deadline), result,
-- errors, progress. Changes nothing.
local TIMED = { s = true, y = true, r = true }
local function describe(answer, ids)
  if #ids == 0 then return end
  local columns = {}
  for i, hash in ipairs({ SPEC, HEAD, RESULTS, ERRORS, PROGRESS }) do columns[i] = call('HMGET', hash, unpack(ids)) end
  for i, id in ipairs(ids) do
    local spec, head = columns[1][i], columns[2][i]
    if spec or head then
      local state = head and string.sub(head, 1, 1) or 'a'
      local score = TIMED[state] and call('ZSCORE', SET[state], id)
      for _, value in ipairs({ id, spec or '', head or '', score or '', columns[3][i] or '', columns[4][i] or '',
        columns[5][i] or '' }) do
        answer[#answer + 1] = value
      end
    end
  end
end
